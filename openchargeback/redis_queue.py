"""The queue in Redis, for people who wait for a page: a server that does not answer is given up within seconds."""

import redis
from django_q.brokers import redis_broker
from django_q.conf import Conf
from redis.backoff import NoBackoff
from redis.retry import Retry

# Seconds until a connection is there, and until an answer is; the worker asks for tasks and waits for one second.
CONNECT = 3
ANSWER = 10


class RedisQueue(redis_broker.Redis):
    """Django-q's broker, with a connection that does not try for minutes. What the address says goes before."""

    @staticmethod
    def get_connection(list_key: str | None = None) -> "redis.Redis":
        return redis.from_url(
            Conf.REDIS, socket_connect_timeout=CONNECT, socket_timeout=ANSWER, retry=Retry(NoBackoff(), 1)
        )
