"""What tests of e-mails share: statements to send, and how they are sent through a real mail server."""

from billing.models import Person
from statements import emails, issuing
from statements.models import Email
from tests import build
from tests.build import NOW, SOMEBODY


def issue_for_two():
    """Issue a statement of Ada's, whose department gets a copy, and one of Bob's."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    Person.objects.filter(email="ada@u.edu").update(contact_email="office@u.edu")
    generate()


def generate(now=NOW):
    return issuing.generate(period=build.a_period(), actor=SOMEBODY, now=now)


def send(now=NOW, actor=SOMEBODY, **options):
    return emails.send(period=build.a_period(), actor=actor, now=now, **options)


def states():
    return dict(Email.objects.order_by("pk").values_list("recipient", "state"))
