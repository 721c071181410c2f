"""PostgreSQL's COPY, sent by a thread of its own."""

import pytest
from django.db import connection

from billing.importing.staging import pg_copy

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has COPY.")


@pytest.mark.django_db
def test_rows_sent_by_the_thread_are_there_once_settled_in_the_order_they_came():
    copier = pg_copy.Copier()
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE sent (number integer, text text)")
        texts = ["a\tb", "back\\slash", "new\nline", "", "ü"] * 500
        for start in range(0, 10 * len(texts), len(texts)):
            copier.add("sent", [range(start, start + len(texts)), texts], ("number", "text"))
        copier.settle()
        with connection.cursor() as cursor:
            cursor.execute("SELECT number, text FROM sent")
            assert cursor.fetchall() == list(enumerate(texts * 10))
    finally:
        copier.close()


@pytest.mark.django_db(transaction=True)
def test_what_the_server_refuses_is_raised_when_it_is_settled():
    import psycopg

    copier = pg_copy.Copier()
    try:
        copier.add("there_is_no_such_table", [[1]], ("number",))
        with pytest.raises(psycopg.errors.UndefinedTable):
            copier.settle()
    finally:
        copier.close()
