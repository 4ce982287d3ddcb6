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

Series = Mapping[str, Mapping[dt.date, float]]


def colours(channels: Sequence[str], other: str | None) -> dict[str, str]:
    """A colour per channel, in order; the folded rest is grey."""
    named = [channel for channel in channels if channel != other]
    found = {channel: PALETTE[place % len(PALETTE)] for place, channel in enumerate(named)}
    return found | ({other: OTHER} if other else {})


def spend_by_month(series: Series, months: Sequence[dt.date], currency: str, paint: Mapping[str, str]) -> str:
    """Stacked bars, one per month, as an `<svg>` element.

    Args:
        series: channel to month to amount; absent months are drawn as nothing.
        months: the months of the axis, also those without spend.
        currency: code of the amounts.
        paint: channel to colour, in the order of the stack.
    """
    import altair as alt
    import vl_convert

    order = list(paint)
    values: list[dict[str, Any]] = [
        {"month": f"{month:%b %Y}", "channel": channel, "amount": float(amount), "place": order.index(channel)}
        for channel, amounts in series.items()
        for month, amount in amounts.items()
    ]
    labels = [f"{month:%b %Y}" for month in months]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_bar()
        .encode(
            x=alt.X("month:O", scale=alt.Scale(domain=labels, paddingInner=0.28), axis=_month_axis(len(labels))),
            y=alt.Y("amount:Q", stack="zero", axis=alt.Axis(title=f"Spend, {currency}", format="~s", tickCount=5, titlePadding=14)),
            color=alt.Color(
                "channel:N", scale=alt.Scale(domain=order, range=[paint[channel] for channel in order]), legend=None
            ),
            order=alt.Order("place:Q"),
        )
        .properties(width=980, height=300, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor="#8884", domainColor="#8886", tickColor="#8886",
            labelFont=FONT, titleFont=FONT, labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
    )  # fmt: skip
    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def _month_axis(months: int) -> Any:
    import altair as alt

    every = max(1, -(-months // 13))
    shown = f"indexof(domain('x'), datum.value) % {every} == 0 ? datum.label : ''" if every > 1 else "datum.label"
    return alt.Axis(title=None, labelAngle=0, grid=False, ticks=False, labelPadding=8, labelExpr=shown)
