"""Measure what people notice: ``python -m tests.bench`` prints a table and writes it to ``var/bench.json``.

Needs a PostgreSQL (DATABASE_URL, one installed, or the test extra's wheel) and some minutes. Sixteen people judge in a
closed loop through the real web server (2 processes of 4 threads): over REST with tokens, and over the pages with
sessions as the page's own script does. The load runs on the same cores as what it loads.
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
            if arguments.export:
                figures = _measure_export(server, arguments.export)
            elif arguments.pages:
                figures = _measure_pages(server, arguments.pages)
            elif arguments.webhooks:
                figures = _measure_webhooks(arguments.webhooks)
            else:
                figures = _measure(server, url, arguments)
    if arguments.pages:
        _print_pages(figures)
    elif arguments.webhooks:
        _print_lines([_webhook_row(figures)])
    elif arguments.export:
        _print_lines(_export_rows(figures))
    else:
        _print(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nWritten to {arguments.out}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--small", type=int, default=5_000, help="pairs in the small campaign")
    parser.add_argument("--large", type=int, default=50_000, help="pairs in the large one, of the export too")
    parser.add_argument("--million", action="store_true", help="a campaign of 1,000,000 items too; takes minutes more")
    parser.add_argument("--export", type=int, metavar="ROWS", help="measure nothing but an export of so many rows")
    parser.add_argument("--webhooks", type=int, metavar="MESSAGES", help="measure nothing but so many webhooks")
    parser.add_argument("--pages", type=int, metavar="JUDGEMENTS", help="measure nothing but a lead's pages on so many")
    parser.add_argument("--judgements", type=int, default=1_200, help="made in each stint; the rest stays queued")
    parser.add_argument("--out", type=Path, default=Path("var/bench.json"))
    return parser.parse_args()


def _measure(server: Any, url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.bench import measures, screen

    figures: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
    }
    warm, tokens, people = measures.campaign_with_people("warm-up")
    measures.import_over_http(server, warm, 400)
    measures.judge_over_http(server, warm, tokens, 300)
    measures.judge_over_http(server, warm, measures.cookies_of(people), 100, way="pages")
    time.sleep(1)
    figures["idle_mib"] = server.pss() / 2**20
    few, few_tokens, few_people = measures.campaign_with_people("small")
    measures.import_over_http(server, few, arguments.small)
    many, many_tokens, many_people = measures.campaign_with_people("large")
    figures["import"] = measures.import_over_http(server, many, arguments.large)

    def judge(campaign: Any, keys: list[str], way: str) -> dict[str, float]:
        # PostgreSQL keeps a statement's plan until its table is analysed anew: one made for 300 rows reads all of
        # 5,000. Its own vacuum sees to that every minute, which people need for 30 judgements, and we for 8,000.
        measures.tidy()
        return measures.judge_over_http(server, campaign, keys, arguments.judgements, way=way)

    few_cookies, many_cookies = measures.cookies_of(few_people), measures.cookies_of(many_people)
    # Small, large, large, small: what else the machine does falls on both.
    first = judge(few, few_tokens, "rest")
    figures["large"] = _mean(judge(many, many_tokens, "rest"), judge(many, many_tokens, "rest"))
    figures["small"] = _mean(first, judge(few, few_tokens, "rest"))
    figures["pages_small"] = judge(few, few_cookies, "pages")
    figures["pages_large"] = judge(many, many_cookies, "pages")
    raw, _, raw_people = measures.campaign_with_people("raw")
    measures.import_over_http(server, raw, arguments.small)
    figures["raw"] = measures.judge_raw(url, raw, raw_people, arguments.judgements)
    measures.fill_with_judgements(many, many_people)
    figures["export"] = measures.export_over_http(server, many)
    figures["export_gzip"] = measures.export_over_http(server, many, query="&gzip=1")
    for latency in (0, 100):
        figures[f"screen_{latency}"] = screen.submit_to_next(
            server, few.pk, few_cookies[2:], latency=latency, judgements=40
        )
    figures["page_script"] = measures.page_script(server, few, few_cookies[0])
    if arguments.million:
        million, million_tokens, _ = measures.campaign_with_people("million")
        measures.fill_with_copies(million, many, 1_000_000)
        beside, beside_tokens, _ = measures.campaign_with_people("beside")
        measures.import_over_http(server, beside, arguments.small)
        judge(million, million_tokens, "rest")  # the disk is still busy with what was filled in
        first = judge(million, million_tokens, "rest")
        figures["small_beside_million"] = _mean(
            judge(beside, beside_tokens, "rest"), judge(beside, beside_tokens, "rest")
        )
        figures["million"] = _mean(first, judge(million, million_tokens, "rest"))
        exported, _, exporters = measures.campaign_with_people("exported")
        measures.fill_with_copies(exported, few, 1_000_000)
        measures.judge_all_by_sql(exported, exporters, like=many)
        figures["export_million"] = measures.export_over_http(server, exported)
    return figures


def _measure_export(server: Any, rows: int) -> dict[str, Any]:
    """Return the figures of one export of `rows` rows, from a server that has exported before."""
    from tests.bench import measures

    source, _, people = measures.campaign_with_people("source")
    measures.import_over_http(server, source, 2000)
    measures.fill_with_judgements(source, people)
    measures.export_over_http(server, source)
    exported, _, exporters = measures.campaign_with_people("exported")
    measures.fill_with_copies(exported, source, rows)
    measures.judge_all_by_sql(exported, exporters, like=source)
    return {"export_million": measures.export_over_http(server, exported)}


def _measure_pages(server: Any, judgements: int) -> dict[str, Any]:
    """Return what a lead's pages cost on a campaign with so many judgements."""
    from tests.bench import measures, pages

    source, _, people = measures.campaign_with_people("source")
    measures.import_over_http(server, source, 2000)
    measures.fill_with_judgements(source, people)
    campaign, _, people = measures.campaign_with_people("judged")
    pages.fill(campaign, source, people, judgements)
    (cookie,) = measures.cookies_of([campaign.created_by_id])
    return {"judgements": judgements, "pages": pages.measure(server, campaign, cookie)}


def _measure_webhooks(messages: int) -> dict[str, Any]:
    from tests.bench import hooks, measures

    campaign, _, _ = measures.campaign_with_people("told")
    return hooks.measure(campaign, messages)


def _webhook_row(figures: dict[str, Any]) -> Row:
    ratio = figures["per_second"] / figures["bare_per_second"]
    return ("Webhooks by one worker, messages/s", figures["per_second"], "", f"{ratio:.0%} of bare requests")


def _mean(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {name: (value + second[name]) / 2 for name, value in first.items()}


def _cpu(figures: dict[str, float]) -> float:
    return figures["web_cpu_ms"] + figures["database_cpu_ms"]


def _rows(figures: dict[str, Any]) -> list[Row]:
    small, large, raw, pages = figures["small"], figures["large"], figures["raw"], figures["pages_small"]
    export, zipped = figures["export"], figures["export_gzip"]
    rate, p95, limit = small["judgements_per_second"] * 2, small["both_p95"], raw["judgements_per_second"] * 2
    slower = 1 - large["judgements_per_second"] / small["judgements_per_second"]
    dearer = _cpu(large) / _cpu(small) - 1
    pages_dearer = _cpu(figures["pages_large"]) / _cpu(pages) - 1
    smaller = export["megabytes"] / zipped["megabytes"]
    idle = figures["idle_mib"]
    return [
        ("REST: next and submit, requests/s", rate, "≥ 200", _times(rate / PEER["requests_per_second"])),
        ("  p95 of the two together, ms", p95 * 1e3, "≤ 180", _times(PEER["both_p95"] / p95)),
        ("  CPU per request, web, ms", small["web_cpu_ms"] / 2, "", ""),
        ("  CPU per request, PostgreSQL, ms", small["database_cpu_ms"] / 2, "", ""),
        ("  bare SQL, requests/s", limit, "", f"we reach {rate / limit:.0%} of it"),
        (
            "  in the large queue, requests/s",
            large["judgements_per_second"] * 2,
            "< 5 % slower",
            f"{slower:+.1%} slower",
        ),
        ("  in the large queue, p95, ms", large["both_p95"] * 1e3, "", f"{dearer:+.1%} CPU"),
        *_million_rows(figures),
        ("Pages: submit → next item, per s", pages["judgements_per_second"], "", "one request is a whole judgement"),
        ("  p95, ms", pages["both_p95"] * 1e3, "", _times(PEER["both_p95"] / pages["both_p95"])),
        ("  CPU per judgement, web, ms", pages["web_cpu_ms"], "", f"{pages_dearer:+.1%} CPU in the large queue"),
        *_screen_rows(figures),
        (
            "Export, rows/s",
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
        *_export_rows(figures),
        ("Import, rows/s", figures["import"]["rows_per_second"], "", f"grew {figures['import']['grew_mib']:.0f} MiB"),
        ("Idle web processes, PSS, MiB", idle, "< 300", _times(PEER["idle_mib"] / idle)),
        ("Page script, gzipped, kB", figures["page_script"]["bytes"] / 1e3, "< 100", ""),
    ]


def _screen_rows(figures: dict[str, Any]) -> list[Row]:
    rows = []
    for latency, target in ((0, "≤ 100"), (100, "≤ 250")):
        screen = figures[f"screen_{latency}"]
        name = f"  at {latency} ms round trip" if latency else "Chromium: Enter → next item seen"
        faster = f"{screen['plain_p95'] / screen['p95']:.1f}× faster than a page load"
        rows.append((f"{name}, p95, ms", screen["p95"], target, faster))
    return rows


def _million_rows(figures: dict[str, Any]) -> list[Row]:
    if "million" not in figures:
        return []
    million, small = figures["million"], figures["small_beside_million"]
    slower = 1 - million["judgements_per_second"] / small["judgements_per_second"]
    dearer = _cpu(million) / _cpu(small) - 1
    return [
        ("  in a queue of 1,000,000", million["judgements_per_second"] * 2, "< 5 % slower", f"{slower:+.1%} slower"),
        ("  in a queue of 1,000,000, p95, ms", million["both_p95"] * 1e3, "", f"{dearer:+.1%} CPU"),
    ]


def _export_rows(figures: dict[str, Any]) -> list[Row]:
    if "export_million" not in figures:
        return []
    export = figures["export_million"]
    faster, smaller = export["rows_per_second"] / 10_000, 32 / max(export["grew_mib"], 0.1)
    return [
        (f"Export of {export['rows']:,} rows, rows/s", export["rows_per_second"], "≥ 10,000", f"{faster:.2f}× of it"),
        ("  first byte, ms", export["first_byte_seconds"] * 1e3, "< 300", ""),
        ("  web processes grew by, MiB", export["grew_mib"], "< 32", f"a {smaller:.1f}th of it"),
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.1f}× better than the best peer"


def _print_pages(figures: dict[str, Any]) -> None:
    print(f"\nA lead's pages on {figures['judgements']:,} judgements, ms\n")
    columns = ("first", "median", "most", "web CPU", "SQL CPU", "load")
    print(f"{'page':24} {' '.join(f'{name:>8}' for name in columns)}   {'figures anew, by SQL':>20}")
    for row in figures["pages"]:
        times = f"{row['first_ms']:8.0f} {row['ms']:8.0f} {row['most_ms']:8.0f}"
        times += f" {row['web_cpu_ms']:8.0f} {row['database_cpu_ms']:8.0f} {row['load']:8.1f}"
        ratio = f"{row['anew_ms']:8.0f}: {row['anew_ms'] / row['ms']:5.1f}×" if row["anew_ms"] else ""
        print(f"{row['page']:24} {times}   {ratio:>20}")


def _print_lines(rows: list[Row]) -> None:
    for name, value, target, remark in rows:
        print(f"{name:40} {value:12,.1f}   {target:14} {remark}")


def _print(figures: dict[str, Any]) -> None:
    print(f"\n{figures['machine']}, load average at the start {figures['load_before']:.1f}\n")
    _print_lines(_rows(figures))


if __name__ == "__main__":
    main()
