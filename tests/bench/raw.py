"""The limit: claim and judgement as bare SQL over psycopg, without HTTP, framework or checks.

``python -m tests.bench.raw '<json>'`` prints its figures as JSON. Same tables, same commits, same 16 people.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time

import psycopg

CLAIM = """
WITH free AS (
    SELECT id FROM annotation_task
    WHERE campaign_id = %(campaign)s AND state = 'open' AND seats > 0
      AND NOT EXISTS (
          SELECT 1 FROM annotation_assignment a WHERE a.task_id = annotation_task.id AND a.user_id = %(user)s
      )
    ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE annotation_task SET seats = seats - 1 FROM free WHERE annotation_task.id = free.id
    RETURNING annotation_task.id, content
), lease AS (
    INSERT INTO annotation_assignment
        (key, task_id, campaign_id, user_id, state, slot, is_gold, shown_order, leaning, expires_at, skip_reason,
         skip_note, created_at)
    SELECT %(key)s, id, %(campaign)s, %(user)s, 'open', 0, false, '[0, 1]', 1, now() + interval '30 minutes', '', '',
        now()
    FROM taken RETURNING id, task_id
)
SELECT lease.id, lease.task_id, taken.content FROM lease JOIN taken ON taken.id = lease.task_id
"""
SUBMIT = """
WITH closed AS (
    UPDATE annotation_assignment SET state = 'submitted', closed_at = now() WHERE id = %(lease)s
), counted AS (
    UPDATE annotation_task SET done = done + 1, state = CASE WHEN done + 1 >= wanted THEN 'complete' ELSE state END
    WHERE id = %(task)s
)
INSERT INTO annotation_feedback
    (campaign_id, task_id, assignment_id, user_id, kind, payload, shown_order, version, is_current, client_key,
     guideline_version, is_review, flagged, created_at)
VALUES (%(campaign)s, %(task)s, %(lease)s, %(user)s, 'pairwise',
    '{"verdict": "prefer", "preference": 2, "comment": ""}', '[0, 1]', 1, true, %(key)s, 1, false, false, now())
"""


def run(url: str, campaign: int, users: list[int], judgements: int) -> dict[str, float]:
    """Return judgements per second, each a claim and a submit, and the p95 of both together."""
    budget = iter(range(judgements))
    lock = threading.Lock()
    times: list[float] = []

    def work(user: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while True:
                with lock:
                    if next(budget, None) is None:
                        return
                started = time.perf_counter()
                key = secrets.token_urlsafe(12)
                row = connection.execute(CLAIM, {"campaign": campaign, "user": user, "key": key}).fetchone()
                if row is None:
                    return
                connection.execute(
                    SUBMIT, {"campaign": campaign, "user": user, "key": key, "lease": row[0], "task": row[1]}
                )
                times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work, args=(user,)) for user in users]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    times.sort()
    return {
        "judgements": len(times),
        "judgements_per_second": len(times) / seconds,
        "both_p95": times[int(len(times) * 0.95)],
    }


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
