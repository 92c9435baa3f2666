"""The queue on both databases: every promise of its docstring, with a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select

from senoscope.clinic.service.database import open_database, reading, writing
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.queue import Queue
from senoscope.errors import ConfigError

RESULTS = Table("results", MetaData(), Column("n", Integer))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(engine: Engine, clock: Clock) -> Queue:
    return Queue(engine, lease_s=30, max_attempts=3, backoff_s=(10, 15), clock=clock)


def test_the_same_work_is_one_job(queue: Queue) -> None:
    assert queue.enqueue("analyze", "a", {"n": 1})
    assert not queue.enqueue("analyze", "a", {"n": 2})
    assert queue.enqueue("send", "a", {"n": 3})
    job = queue.claim(["analyze"], "w")
    assert job is not None
    assert dict(job.payload) == {"n": 1}
    queue.complete(job)
    assert not queue.enqueue("analyze", "a", {"n": 4})  # done is done
    assert queue.claim(["analyze"], "w") is None


def test_jobs_come_in_order_and_of_the_kinds_asked_for(queue: Queue, clock: Clock) -> None:
    for number in range(3):
        queue.enqueue("a", str(number), {})
        clock.now += 1
    queue.enqueue("b", "0", {})
    claimed = [queue.claim(["a"], "w") for _ in range(4)]
    assert [job and job.key for job in claimed] == ["0", "1", "2", None]


def test_enqueued_with_the_callers_transaction_or_not_at_all(queue: Queue) -> None:
    def enqueue_and_fail() -> None:
        with writing(queue.engine) as connection:
            assert queue.enqueue("a", "1", {}, connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        enqueue_and_fail()
    assert queue.claim(["a"], "w") is None


def test_a_lease_keeps_others_away_until_it_runs_out(queue: Queue, clock: Clock) -> None:
    queue.enqueue("a", "1", {})
    first = queue.claim(["a"], "first")
    assert first is not None
    clock.now += 29
    assert queue.claim(["a"], "second") is None
    assert queue.heartbeat(first)  # until 1059
    clock.now += 29
    assert queue.claim(["a"], "second") is None
    clock.now += 2
    second = queue.claim(["a"], "second")
    assert second is not None
    assert second.attempts == 2
    assert not queue.heartbeat(first)


def test_only_the_holder_of_the_lease_completes_and_only_once(queue: Queue, clock: Clock) -> None:
    RESULTS.create(queue.engine, checkfirst=True)
    with writing(queue.engine) as connection:
        connection.execute(RESULTS.delete())
    queue.enqueue("a", "1", {})
    late = queue.claim(["a"], "late")
    clock.now += 31
    quick = queue.claim(["a"], "quick")
    assert late is not None
    assert quick is not None
    for job in (late, quick, quick):
        try:
            with queue.completing(job) as connection:
                connection.execute(insert(RESULTS).values(n=job.attempts))
        except LostLeaseError:
            continue
    with reading(queue.engine) as connection:
        assert connection.execute(select(RESULTS.c.n)).scalars().all() == [2]
    RESULTS.drop(queue.engine)


def test_a_result_that_fails_leaves_the_job_leased(queue: Queue) -> None:
    queue.enqueue("a", "1", {})
    job = queue.claim(["a"], "w")
    assert job is not None
    with pytest.raises(RuntimeError), queue.completing(job):
        raise RuntimeError
    assert queue.counts("a") == {"queued": 0, "leased": 1, "done": 0, "dead": 0}
    queue.complete(job)


def test_failures_wait_longer_each_time_and_end_as_dead_letters(queue: Queue, clock: Clock) -> None:
    queue.enqueue("a", "1", {"exam": "x"})
    for first, last in ((5, 15), (7.5, 22.5)):  # 10 s, then 15 s (the longest), times 0.5 to 1.5
        job = queue.claim(["a"], "w")
        assert job is not None
        assert not queue.fail(job, "no network")
        clock.now += first - 0.1
        assert queue.claim(["a"], "w") is None
        clock.now += last - first + 0.2
    job = queue.claim(["a"], "w")
    assert job is not None
    assert queue.fail(job, "no network at all")
    (letter,) = queue.dead_letters("a")
    assert (letter.key, letter.attempts, letter.error) == ("1", 3, "no network at all")
    assert dict(letter.payload) == {"exam": "x"}
    clock.now += 1e6
    assert queue.claim(["a"], "w") is None
    assert queue.replay("a") == 1
    again = queue.claim(["a"], "w")
    assert again is not None
    assert again.attempts == 1


def test_a_job_that_kills_its_workers_is_given_up(queue: Queue, clock: Clock) -> None:
    queue.enqueue("a", "1", {})
    for _ in range(3):
        assert queue.claim(["a"], "w") is not None
        clock.now += 31
    assert queue.claim(["a"], "w") is None
    assert queue.counts()["dead"] == 1


def test_final_failures_are_dead_at_once(queue: Queue) -> None:
    queue.enqueue("a", "1", {})
    job = queue.claim(["a"], "w")
    assert job is not None
    assert queue.fail(job, "never", final=True)


def test_a_failure_after_the_lease_changes_nothing(queue: Queue, clock: Clock) -> None:
    queue.enqueue("a", "1", {})
    late = queue.claim(["a"], "late")
    clock.now += 31
    quick = queue.claim(["a"], "quick")
    assert late is not None
    assert quick is not None
    queue.fail(late, "too late", final=True)
    queue.complete(quick)
    assert queue.counts()["done"] == 1


def test_release_puts_back_one_servers_jobs_only(queue: Queue) -> None:
    for number in range(3):
        queue.enqueue("a", str(number), {})
    for worker in ("host:a:1", "host:a:2", "host:ab:1"):
        queue.claim(["a"], worker)
    assert queue.release("host:a:") == 2
    assert queue.waiting("a") == 3
    assert queue.counts() == {"queued": 2, "leased": 1, "done": 0, "dead": 0}


def test_many_claimants_share_the_work_without_overlap(url: str) -> None:
    first = Queue(open_database(url))
    for number in range(40):
        first.enqueue("a", str(number), {})

    def drain(name: str) -> list[str]:
        queue = Queue(open_database(url))
        keys = []
        while job := queue.claim(["a"], name):
            keys.append(job.key)
            queue.complete(job)
        queue.engine.dispose()
        return keys

    with ThreadPoolExecutor(4) as pool:
        taken = [key for keys in pool.map(drain, "wxyz") for key in keys]
    assert Counter(taken) == Counter(str(number) for number in range(40))
    first.engine.dispose()


def test_unknown_databases_are_refused_without_their_password() -> None:
    for url in ("mysql://me:hunter2@host/name", "hunter2", "postgresql://me:hunter2@127.0.0.1:1/none"):
        with pytest.raises(ConfigError) as caught:
            open_database(url)
        assert "hunter2" not in str(caught.value)
