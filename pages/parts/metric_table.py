"""What a comparison says in numbers, on Compare: the table of metrics, and what stands folded below it."""

from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st

from core.analysis import probe, statements
from core.analysis.comparison import Interval
from core.analysis.metrics import METRICS, SHORT, SPACE_METRICS, WHY_NOT_KMEANS_ALONE
from core.analysis.statements import HEAD, HEAD_OF_OUTPERFORMS, head_of_gap
from core.quantities import percent
from core.results.result import Arm, Pair, Verdict
from core.visible import visible
from pages.parts.text import plain


def table(compared: Pair, rows: Sequence[Arm], n_seeds: int) -> None:
    """A line a metric: untrained, A and B as mean ± sd, the difference with its interval, and whether one can tell.

    Args:
        compared: A and B.
        rows: the verdict's, at their images-per-class; the untrained encoder's stands among them.
        n_seeds: seeds behind the rows.
    """
    metrics = {row.objective: row.metrics for row in rows}
    lines = []
    for item in compared.differences:
        row = statements.row(item)
        floor, *own = (_cell(metrics.get(label, {}).get(item.metric), n_seeds)
                       for label in ("untrained", compared.label_a, compared.label_b))
        a, b = (row.a, row.b) if item.sd_a is not None else own  # an earlier version's differences have none
        lines.append({HEAD[0]: row.title, "untrained": floor, f"A · {compared.label_a}": a, f"B · {compared.label_b}": b,
                      head_of_gap(item.alpha): row.gap, HEAD_OF_OUTPERFORMS: row.outperforms, HEAD[-1]: row.answer})
    st.dataframe(pd.DataFrame(lines), hide_index=True, width="stretch", height="content", column_config={
        HEAD[0]: st.column_config.TextColumn(help=_meanings(METRICS)),
        HEAD_OF_OUTPERFORMS: st.column_config.TextColumn(help=statements.HELP_OF_OUTPERFORMS),
        HEAD[-1]: st.column_config.TextColumn(
            help="MAP@R, the question asked beforehand, by its own interval. The others only if their difference also holds "
                 "among all of them (Holm, 1979).")})
    if any(item.metric == "kmeans_accuracy" for item in compared.differences):
        st.caption("K-means accuracy alone is never the verdict: very different spaces can share it.",
                   help=WHY_NOT_KMEANS_ALONE)


def chance(rows: Iterable[Arm], labels: tuple[str, ...]) -> None:
    """Says which arms are no better than permuted labels, and on what; nothing if none is."""
    for row in rows:
        at_chance = [(METRICS | SPACE_METRICS)[name].title for name, item in row.chance.items()
                     if item.is_at_chance]
        if row.objective in labels and at_chance:
            st.markdown(f":orange[:material/casino: {plain(row.objective)} is at chance on {', '.join(at_chance)}: "
                        f"permuted labels would score as much.]")


def untrained(rows: Iterable[Arm], labels: tuple[str, ...]) -> None:
    """Arms that did not beat the untrained encoder, and those that export it unchanged; nothing if training helped all."""
    for row in rows:
        for said in (row.not_improved, row.unchanged):
            if row.objective in labels and said:
                st.markdown(f":orange[:material/trending_down: {plain(said)}.]")


def details(compared: Pair, rows: Sequence[Arm]) -> None:
    """Folded: classes, exact tests, measures of the whole spaces, the settings that differ, and what leaving out a query's own
    group comes to; `rows` are the verdict's, of the arms to tell of."""
    with st.expander("By class, exact tests, whole spaces, and what differs in the settings"):
        if agreement := compared.agreement:
            cka = [value for value in agreement.cka if value is not None]
            said = f"; linear CKA {sum(cka) / len(cka):.2f}" if cka else ""
            overlap = sum(agreement.overlap) / len(agreement.overlap)
            st.markdown(f"Of each test image's {agreement.neighbors} nearest, A and B share **{100 * overlap:.0f} %** "
                        f"(by chance {100 * agreement.overlap_by_chance:.0f} %){said}.")
        _own_group(rows)
        _chance_levels(rows)
        if said := probe.sentence({row.objective: row.probe for row in rows}):
            st.markdown(f"{plain(said)}.")
        if compared.per_class or compared.macro:
            metric = st.segmented_control("Metric", SHORT, format_func=lambda name: METRICS[name].title, default=SHORT[0],
                                          required=True, key="per-class-metric", label_visibility="collapsed")
            named = [("macro average", item) for item in compared.macro if item.metric == metric] + [
                (visible(item.label), item) for item in compared.per_class if item.metric == metric]
            st.dataframe(pd.DataFrame([{
                "class": name, HEAD[1]: row.a, HEAD[2]: row.b, head_of_gap(item.alpha): row.gap, HEAD[-1]: row.answer,
                "images": item.n_samples} for name, item in named for row in [statements.row(item)]]),
                hide_index=True, width="stretch")
            st.caption("The macro average is the mean of the classes' means: each class counts alike. Its answer is corrected "
                       "(Holm, 1979) for the macro averages of all metrics, a class's for all classes.")
        if compared.mcnemar:
            st.dataframe(pd.DataFrame([{
                "McNemar's exact test": METRICS[item.metric].title, "only A right": _list(item.only_a),
                "only B right": _list(item.only_b), "p, seed by seed": ", ".join(_p(p) for p in item.p_value),
                "p, any seed": _p(item.p_any_seed)} for item in compared.mcnemar]), hide_index=True, width="stretch")
            st.caption("Of the images that one space alone gets right, is it half each? Asks about these trained encoders; "
                       "each group of images has one vote.")
        if compared.space:
            st.dataframe(pd.DataFrame([{
                "whole space": SPACE_METRICS[item.metric].title, HEAD[1]: f"{item.a:.3g}", HEAD[2]: f"{item.b:.3g}",
                head_of_gap(item.alpha): f"{item.difference:+z.3g}  [{item.low:+z.3g}, {item.high:+z.3g}]"}
                for item in compared.space]), hide_index=True, width="stretch", column_config={
                    "whole space": st.column_config.TextColumn(help=_meanings(SPACE_METRICS))})
        if compared.settings:
            st.dataframe(pd.DataFrame([{
                "setting": item.name, HEAD[1]: visible(item.a), HEAD[2]: visible(item.b), "judged": item.kind,
                "why": item.why} for item in compared.settings]), hide_index=True, width="stretch")


def _own_group(rows: Iterable[Arm]) -> None:
    """How many queries have nothing left to find; and what the metrics are with the query's own group counted, here alone."""
    counts = [(row, row.own_group) for row in rows if row.own_group]
    row, own_group = max(counts, key=lambda item: item[1].n_undefined, default=(None, None))
    if row and own_group and own_group.n_undefined:
        n_queries = own_group.n_queries or row.n_test
        st.markdown(f"**{own_group.n_undefined:,}** of {n_queries:,} test images have no other image of their class outside "
                    "their own group: they have nothing to find and are left out of MAP@R, P@1 and R-Precision.")
    lines = [{"with images of the query's own group counted": visible(row.objective),
              **{METRICS[name].title: f"{100 * value:.1f}" for name, value in sorted(own_group.counted.items())}}
             for row, own_group in counts if own_group.counted]
    if lines:
        st.dataframe(pd.DataFrame(lines), hide_index=True, width="stretch")
        st.caption("For comparison with studies that count them: there, crops of one photograph count as hits for each other.")


def _chance_levels(rows: Sequence[Arm]) -> None:
    """What each metric would be with permuted labels, arm by arm; nothing where an earlier version did not say."""
    lines = [{"permuted labels would score": info.title,
              **{visible(row.objective): _level(name, row.chance[name].level) for row in rows if name in row.chance}}
             for name, info in (METRICS | SPACE_METRICS).items() if any(name in row.chance for row in rows)]
    if lines:
        st.dataframe(pd.DataFrame(lines), hide_index=True, width="stretch")
        st.caption("Labels are permuted group by group, so a space that knows the photograph alone scores this. Where images "
                   "form groups, a gap that these levels explain decides nothing.")


def _level(name: str, value: float) -> str:
    return f"{100 * value:.1f}" if name in METRICS else f"{value:.3g}"


def open_set(verdict: Verdict, images_per_class: int | str, a: str, b: str) -> None:
    """The verdict among held-out classes; nothing where none was held out."""
    pair, rows = verdict.open_pair(a, b, images_per_class), verdict.open_arms(images_per_class)
    if pair is None:
        return
    st.subheader("Classes it never saw", help="Held-out classes are never trained on. Their images are retrieved among each "
                 "other; they have no training images, so k-NN and the probe have nothing to learn from.")
    st.markdown(f"**{plain(pair.sentence)}.**")
    st.caption("The interval is over seeds and images of these classes alone: others held out may say otherwise.")
    untrained(rows, (a, b))
    if said := verdict.worth_of_training(images_per_class, is_open=True):
        st.markdown(f"{plain(said)}.")
    table(pair, rows, next(row.n_seeds for row in rows if row.objective == b))


def _cell(summary: Interval | None, n_seeds: int) -> str:
    return "–" if summary is None else percent(summary.mean, summary.sd, n_seeds)


def _meanings(registry: dict) -> str:
    return "\n\n".join(f"**{info.title}**: {info.meaning}" for info in registry.values())


def _list(counts: tuple[int, ...]) -> str:
    return ", ".join(str(count) for count in counts)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
