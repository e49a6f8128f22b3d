"""Measure what people notice: ``python -m tests.bench`` prints a table and writes it to ``var/bench.json``.

Needs a PostgreSQL (DATABASE_URL, one installed, or the test extra's wheel) and a few minutes. Judging goes over REST
with tokens through a real gunicorn; the load runs on the same cores as what it loads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Label Studio 1.23.2 (uwsgi, 4 processes, PostgreSQL), the best of the peers, measured on 2 cores in the same way.
PEER = {
    "requests_per_second": 21.4,
    "both_p95": 1.83,
    "export_rows_per_second": 50_000 / 138,
    "first_byte_seconds": 137.0,
    "export_grew_mib": 731.0,
    "idle_mib": 776.0,
}
# Name, value, target, and how it compares.
Row = tuple[str, float, str, str]


def main() -> None:
    arguments = _arguments()
    # Told to stop, it must still stop the servers it started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    from tests.bench.servers import fresh_database, web
    from tests.postgres import postgres_url

    with (
        tempfile.TemporaryDirectory(prefix="attune-bench-") as home,
        postgres_url(durable=True) as server_url,
        fresh_database(server_url) as url,
    ):
        os.environ |= {
            "DATABASE_URL": url,
            "ATTUNE_HOME": home,
            "SECRET_KEY": "only for the benchmark",
            "DJANGO_SETTINGS_MODULE": "frontend.settings",
            "LOG_LEVEL": "WARNING",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        with web(url) as server:
            figures = _measure(server, url, arguments)
    _print(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nWritten to {arguments.out}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--small", type=int, default=5_000, help="pairs in the small campaign")
    parser.add_argument("--large", type=int, default=50_000, help="pairs in the large one, of the export too")
    parser.add_argument("--judgements", type=int, default=4_000, help="made in each; the rest stays in the queue")
    parser.add_argument("--out", type=Path, default=Path("var/bench.json"))
    return parser.parse_args()


def _measure(server: Any, url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.bench import measures

    small, large, judgements = arguments.small, arguments.large, min(arguments.judgements, arguments.small)
    figures: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
    }
    warm, warm_tokens, _ = measures.campaign_with_people("warm-up")
    measures.import_over_http(server, warm, 400)
    measures.judge_over_http(server, warm, warm_tokens, 400)
    time.sleep(1)
    figures["idle_mib"] = server.pss() / 2**20
    few, few_tokens, _ = measures.campaign_with_people("small")
    measures.import_over_http(server, few, small)
    figures["judge"] = measures.judge_over_http(server, few, few_tokens, judgements)
    many, many_tokens, many_people = measures.campaign_with_people("large")
    figures["import"] = measures.import_over_http(server, many, large)
    figures["judge_large"] = measures.judge_over_http(server, many, many_tokens, judgements)
    raw, _, raw_people = measures.campaign_with_people("raw")
    measures.import_over_http(server, raw, small)
    figures["raw"] = measures.judge_raw(url, raw, raw_people, judgements)
    measures.fill_with_judgements(many, many_people)
    figures["export"] = measures.export_over_http(server, many)
    figures["export_gzip"] = measures.export_over_http(server, many, query="&gzip=1")
    figures["page_script"] = measures.page_script(server, few)
    return figures


def _rows(figures: dict[str, Any]) -> list[Row]:
    judge, large, raw = figures["judge"], figures["judge_large"], figures["raw"]
    export, zipped = figures["export"], figures["export_gzip"]
    rate, p95 = judge["requests_per_second"], judge["both_p95"]
    slower = 1 - large["requests_per_second"] / rate
    smaller = export["megabytes"] / zipped["megabytes"]
    idle, limit = figures["idle_mib"], raw["requests_per_second"]
    return [
        ("next + submit, requests/s", rate, "≥ 200", _times(rate / PEER["requests_per_second"])),
        ("  p95 of the two together, ms", p95 * 1e3, "≤ 180", _times(PEER["both_p95"] / p95)),
        ("  CPU of the web processes, ms/request", judge["web_cpu_ms"], "", ""),
        ("  CPU of PostgreSQL, ms/request", judge["database_cpu_ms"], "", ""),
        ("  bare SQL, requests/s", limit, "", f"we reach {rate / limit:.0%} of it"),
        ("  large queue, requests/s", large["requests_per_second"], "< 5 % slower", f"{slower:+.1%} slower"),
        ("  large queue, p95, ms", large["both_p95"] * 1e3, "", ""),
        (
            "export, rows/s",
            export["rows_per_second"],
            "≥ 10,000",
            _times(export["rows_per_second"] / PEER["export_rows_per_second"]),
        ),
        (
            "  first byte, ms",
            export["first_byte_seconds"] * 1e3,
            "< 300",
            _times(PEER["first_byte_seconds"] / export["first_byte_seconds"]),
        ),
        ("  web processes grew by, MiB", export["grew_mib"], "< 32", f"peer: {PEER['export_grew_mib']:.0f}"),
        ("  as .gz, rows/s", export["rows"] / zipped["seconds"], "", f"{smaller:.1f}× smaller"),
        ("import, rows/s", figures["import"]["rows_per_second"], "", f"grew {figures['import']['grew_mib']:.0f} MiB"),
        ("idle web processes, PSS, MiB", idle, "< 300", _times(PEER["idle_mib"] / idle)),
        ("page script, gzipped, kB", figures["page_script"]["bytes"] / 1e3, "< 100", ""),
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.1f}× better than the best peer"


def _print(figures: dict[str, Any]) -> None:
    print(f"\n{figures['machine']}, load average at the start {figures['load_before']:.1f}\n")
    for name, value, target, remark in _rows(figures):
        print(f"{name:40} {value:12,.1f}   {target:14} {remark}")


if __name__ == "__main__":
    main()
