"""Charts as inline SVG, drawn by Altair and vl-convert without a browser or a network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

# Mid tones that hold on a light and on a dark ground; grey is for what is folded together.
PALETTE = ("#2f6fb0", "#e08a2e", "#3a9d7a", "#b8577e", "#8063b3", "#c4a92f", "#4aa3b8", "#a5673f")
OTHER = "#8f959e"
INK = "#7a818c"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"

Series = Mapping[int, Mapping[dt.date, float]]


def colours(places: Sequence[int], other: int | None) -> dict[int, str]:
    """A colour per channel, in order; the folded rest is grey."""
    named = [place for place in places if place != other]
    found = {place: PALETTE[nth % len(PALETTE)] for nth, place in enumerate(named)}
    return found | ({other: OTHER} if other is not None else {})


def spend_by_month(series: Series, months: Sequence[dt.date], currency: str, paint: Mapping[int, str]) -> str:
    """Stacked bars, one per month, as an `<svg>` element.

    Args:
        series: channel (by its place, so that no name from the data is drawn) to month to amount; absent months are nothing.
        months: the months of the axis, also those without spend.
        currency: code of the amounts.
        paint: channel to colour, in the order of the stack.
    """
    import altair as alt

    values = [
        {"month": f"{month:%b %Y}", "channel": str(place), "amount": amount, "place": nth}
        for nth, place in enumerate(paint)
        for month, amount in series[place].items()
    ]
    scale = alt.Scale(domain=[str(place) for place in paint], range=list(paint.values()))
    bars = alt.Chart(alt.Data(values=values)).mark_bar().encode(
        x=_month_axis([f"{month:%b %Y}" for month in months]),
        y=_amount_axis(f"Spend, {currency}", stack="zero"),
        color=alt.Color("channel:N", scale=scale, legend=None),
        order=alt.Order("place:Q"),
    )  # fmt: skip
    return _svg(bars, height=300)


def bookings_by_month(rows: Sequence[Mapping[str, Any]], currency: str) -> str:
    """A bar per month for what was booked, a line across it for the plan, as an `<svg>` element.

    Args:
        rows: period_start, actual_amount_rc and attainment_denominator_rc (None without a plan) of each month, in order.
        currency: code of the amounts.
    """
    import altair as alt

    labels = [f"{row['period_start']:%b %Y}" for row in rows]
    values = [
        {"month": label, "amount": float(row["actual_amount_rc"]), "plan": _number(row["attainment_denominator_rc"])}
        for label, row in zip(labels, rows, strict=True)
    ]
    chart = alt.Chart(alt.Data(values=values)).encode(x=_month_axis(labels))
    bars = chart.mark_bar(color=PALETTE[0]).encode(y=_amount_axis(f"Bookings, {currency}"))
    plans = (
        chart.transform_filter("isValid(datum.plan)")
        .mark_tick(color=PALETTE[1], thickness=4, width=46, opacity=1)
        .encode(y="plan:Q")
    )
    return _svg(bars + plans, height=240)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _svg(chart: Any, height: int) -> str:
    import vl_convert

    drawn = (
        chart.properties(width=980, height=height, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, domainColor="#8886", tickColor="#8886",
            labelFont=FONT, titleFont=FONT, labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(drawn.to_dict()))


# Amounts as people say them: 0, 40k, 40M, 40bn; SI would write 40G.
_SAID = "datum.value == 0 ? '0' : replace(replace(datum.label, 'G', 'bn'), 'T', 'tn')"


def _amount_axis(title: str, **options: Any) -> Any:
    import altair as alt

    # where amounts fall below zero, the line that they hang from is the strong one
    zero = alt.condition("datum.value == 0", alt.value("#888c"), alt.value("#8884"))
    axis = alt.Axis(title=title, format="~s", labelExpr=_SAID, gridColor=zero, tickCount=5, titlePadding=14)
    return alt.Y("amount:Q", axis=axis, **options)


def _month_axis(labels: Sequence[str]) -> Any:
    import altair as alt

    every = max(1, -(-len(labels) // 13))
    shown = f"indexof(domain('x'), datum.value) % {every} == 0 ? datum.label : ''" if every > 1 else "datum.label"
    axis = alt.Axis(title=None, labelAngle=0, grid=False, ticks=False, labelPadding=8, labelExpr=shown)
    return alt.X("month:O", scale=alt.Scale(domain=list(labels), paddingInner=0.28), axis=axis)
