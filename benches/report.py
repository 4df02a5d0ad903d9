"""Tables for people, and a chart."""

import json
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/performance.md"
CHART = ROOT / "docs/performance.svg"
FIGURES = ROOT / "benches/results.json"


def table(result):
    lines = [result["head"], ["---"] * len(result["head"]), *result["rows"]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(results, conditions):
    """Puts each table between its marks in the document; what was not measured this time stays as it is."""
    text = DOCUMENT.read_text()
    for name, result in results.items():
        text = fill(text, name, f"{table(result)}\n\n{run(conditions)}")
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name, result in results.items():
        known[name] = {"title": result["title"], "conditions": conditions, "runs": result["runs"]}
    text = fill(text, "conditions", describe(conditions))
    DOCUMENT.write_text(text)
    FIGURES.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    if "pipelined" in known:
        CHART.write_text(chart(known["pipelined"]["runs"]))


def fill(text, name, content):
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(text):
        raise SystemExit(f"{DOCUMENT} has no marks for {name}")
    return marked.sub(lambda found: f"{found.group(1)}\n{content}\n\n{found.group(2)}", text)


def describe(conditions):
    return f"{conditions['cpu']}, {conditions['cores']} cores of a virtual machine; Redis {conditions['server']}."


def run(conditions):
    """How quiet the machine was: an average above 2 says that others used the benchmark's cores."""
    steal, load = conditions["steal_percent"], conditions["load_average"]
    return f"{conditions['rounds']} rounds; load average {load:.1f}, taken by the host {steal} %."


def chart(runs):
    """Server CPU a cycle as bars, as an SVG."""
    bars = [(name, statistics.median(run["cpu_us"] for run in of)) for name, of in runs.items()]
    width, row, left, right = 760, 28, 270, 90
    most = max(value for _, value in bars)
    height = 50 + row * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        '<text x="12" y="24" font-size="15" fill="#222">Server CPU per task: push, claim, complete, read the result (µs)</text>',
    ]
    for index, (name, value) in enumerate(bars):
        y = 44 + index * row
        length = (width - left - right) * value / most
        colour = "#c0392b" if name.startswith("redis-task") else "#7f8c8d"
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end" fill="#222">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{row - 9}" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 14}" fill="#222">{value:.2f}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
