"""The receipt for a terminal and for a log."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sixfold.core.units import show_bytes
from sixfold.core.visible import one_line
from sixfold.recipe.receipt import Cost, Receipt

Line = tuple[str, str, str]


def lines(receipt: Receipt) -> list[Line]:
    """What was measured, before compression, after it."""
    rows: list[Line] = []
    for quality in receipt.quality:
        if quality.folds_before:
            after = fmean(quality.folds_after) if quality.folds_after else None
            rows.append(
                (
                    f"{quality.metric}, {len(quality.folds_before)} folds",
                    _show(fmean(quality.folds_before)),
                    _show(after),
                )
            )
        if quality.holdout_before is not None or quality.holdout_after is not None:
            name = f"{quality.metric}, {receipt.rows_holdout:,} rows held out"
            rows.append((name, _show(quality.holdout_before), _show(quality.holdout_after)))
    before, after_cost = _costs(receipt.before), _costs(receipt.after)
    rows += [(name, value, after_cost.get(name, "-")) for name, value in before.items()]
    if receipt.divergence is not None:
        rows.append(("KL from before, nats a token", "-", f"{receipt.divergence:.3g}"))
    if (http := receipt.http) is not None and http.p50_ms is not None and http.p99_ms is not None:
        rows.append(
            ("one row over HTTP, p50 / p99 ms", "-", f"{http.p50_ms:.3f} / {http.p99_ms:.3f}")
        )
    return rows


def text(receipt: Receipt, verdict: Sequence[str] = ()) -> str:
    """Plain text, 80 columns where names allow; before it the sentences of the report's `verdict`,
    which are not said again.
    """
    first = receipt.quality[0] if receipt.quality else None
    compressed = "" if receipt.verdict == "not asked for" else f", {receipt.verdict}"
    head = [
        f"Receipt of {receipt.name}: {receipt.candidate}, trained on {receipt.rows_trained:,} rows{compressed}",
        f"{'':34} {'before':>18} {'after':>18}",
    ]
    body = [f"{name:34} {before:>18} {after:>18}" for name, before, after in lines(receipt)]
    expected = list(receipt.nested.sentences()) if receipt.nested is not None else []
    expected = [sentence for sentence in expected if sentence not in verdict]
    tail = [f"  {'+' if step.accepted else '-'} {step.sentence()}" for step in receipt.steps]
    if first is not None and first.baseline is not None:
        tail.append(f"{_sentence(receipt.baseline_is)} gives {first.metric} {first.baseline:.4g}.")
    if receipt.http is not None and receipt.http.why:
        tail.append(f"Latency over HTTP was not measured: {receipt.http.why}.")
    if receipt.neighbors is not None:
        tail.append(receipt.neighbors.sentence())
    if receipt.parity_rows:
        tail.append(_agreement(receipt))
    return "\n".join(
        map(one_line, [*verdict, *([""] if verdict else []), *head, *body, *tail, *expected])
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _costs(cost: Cost) -> dict[str, str]:
    shown = {
        "bytes of the model": show_bytes(cost.file_bytes),
        "raw columns": str(cost.inputs),
    }
    measured = {
        "one row, p50 / p99 ms": _latency(cost.p50_1_ms, cost.p99_1_ms),
        "64 rows, p50 / p99 ms": _latency(cost.p50_64_ms, cost.p99_64_ms),
        "tokens/s, one request": _of(cost.tokens_per_s_1, ",.0f"),
        "tokens/s, eight requests": _of(cost.tokens_per_s_8, ",.0f"),
        "first token, ms": _of(cost.first_token_ms, ".1f"),
        "peak memory": show_bytes(cost.peak_memory_bytes) if cost.peak_memory_bytes else "",
        "parameters": _of(cost.parameters, ","),
    }
    return shown | {name: value for name, value in measured.items() if value}


def _latency(middle: float | None, last: float | None) -> str:
    return f"{middle:.3f} / {last:.3f}" if middle is not None and last is not None else ""


def _of(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _show(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def _agreement(receipt: Receipt) -> str:
    """What proves that the served model is the trained one. A language model has no answers to rows."""
    count = f"{receipt.parity_rows:,}"
    if receipt.after.p50_1_ms is None:
        return (
            f"The served model scores {count} stored texts as the trained one (a token's log-probability differs by "
            f"{receipt.parity_worst:.1e} at most)."
        )
    return f"Graph and pipeline agree on {count} stored rows (worst {receipt.parity_worst:.1e})."
