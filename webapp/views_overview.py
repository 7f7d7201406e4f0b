"""Views of the overview: the next step, what runs, the best models and the votes, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal

from store.schema import Job, Worker
from store.tour import VOTES_TO_WALK, Tour
from webapp.charts import sparkline
from webapp.formatting import counted, duration, number
from webapp.jobs.views import fraction_done, job_link, progress_words, seconds_left
from webapp.shell import chip, icon, link_button, progress_bar
from webapp.views_models import Rating, rating_words


@dataclass(frozen=True)
class Step:
    """One step of the loop: done, at work, next, or later."""

    words: str
    state: Literal["done", "going", "later"]
    href: str
    button: str


def steps_of(tour: Tour, now: datetime) -> list[Step]:
    """The loop as a checklist."""
    newest = f"&model=model:{tour.newest_model_id}" if tour.newest_model_id else ""
    on_votes = f"&dataset=dataset:{tour.votes_dataset_id}" if tour.votes_dataset_id else ""
    train_on_votes = f"/train?recipe=dpo{newest}{on_votes}" if on_votes else "/board"
    count = f"Vote ({number(tour.num_votes)} of {VOTES_TO_WALK})"
    pretrain, tune = tour.active.get("pretrain"), tour.active.get("sft")
    return [
        _step(tour.has_model, pretrain, now, "Base model ready", "Pre-train a base", "/train?recipe=pretrain"),
        _step(tour.has_data, None, now, "Data ready", "Upload data", "/data"),
        _step(tour.has_tuned, tune, now, "Fine-tuned", "Fine-tune", f"/train?recipe=sft{newest}"),
        _step(tour.has_compared, None, now, "Compared", "Compare", "/playground"),
        _step(tour.has_voted, None, now, f"Voted {VOTES_TO_WALK} times", count, "/arena"),
        _step(
            tour.has_trained_on_votes, tour.active_on_votes, now,
            "Trained on your votes", "Train on your votes", train_on_votes,
        ),
    ]  # fmt: skip


def _step(is_done: bool, job: Job | None, now: datetime, done: str, to_do: str, href: str) -> Step:
    if is_done:
        return Step(done, "done", href, "")
    if job is None:
        return Step(to_do, "later", href, to_do.split(" (")[0])
    left = seconds_left(job, now)
    figures = [f"{fraction_done(job) or 0:.0%}".replace("%", "\u00a0%") if job.total_steps else str(job.state)]
    if left is not None:
        figures.append(f"{duration(left)} left")
    return Step(f"{to_do} ({', '.join(figures)})", "going", f"/job?id={job.id}", "Watch it")


def next_step_card(steps: Sequence[Step]) -> str:
    """The checklist with one button: what to do next."""
    present = next((step for step in steps if step.state != "done"), None)
    if present is None:
        return ""
    items = "".join(
        f'<li class="{_class_of(step, step is present)}">{icon(_SHAPE[step.state])}{escape(step.words)}</li>'
        for step in steps
    )
    return (
        '<section class="h-card"><h2 class="h-h2">Next step</h2><div class="h-next-step">'
        f'<ol class="h-steps">{items}</ol>{link_button(present.button, present.href, "primary")}</div></section>'
    )


_SHAPE = {"done": "good", "going": "going", "later": "quiet"}


def _class_of(step: Step, is_present: bool) -> str:
    return " ".join([f"h-{step.state}", *(["h-next"] if is_present else [])])


def running_card(running: Sequence[tuple[Job, Sequence[tuple[int, float]]]], num_queued: int, now: datetime) -> str:
    """What is at work now, each with its curve and its time left."""
    items = "".join(
        f'<li><div class="h-line h-apart"><span class="h-strong">{job_link(job)}</span>{sparkline(loss)}</div>'
        f'{progress_bar(fraction_done(job))}<div class="h-line h-apart h-quiet h-small">'
        f"<span>{progress_words(job, now) or escape(job.phase)}</span>"
        f"<span>{f'loss {number(loss[-1][1])}' if loss else ''}</span></div></li>"
        for job, loss in running
    )
    waiting = f'<a href="/jobs?state=queued" class="h-small">{number(num_queued)} queued</a>' if num_queued else ""
    nothing = '<p class="h-quiet">No job is running.</p>'
    return _card("Running", f'<ul class="h-list">{items}</ul>' if items else nothing, waiting)


def best_models_card(names: Mapping[int, str], ratings: Mapping[int, Rating]) -> str:
    """The strongest models by blind votes, each with its interval on one common scale."""
    board = [(names[model_id], model_id, rating) for model_id, rating in ratings.items() if model_id in names][:5]
    if not board:
        return _card(
            "Best models", '<p class="h-quiet">Ratings begin with the first blind vote.</p>', _link("Vote", "/arena")
        )
    low = min(rating.points - rating.half_width for *_, rating in board)
    high = max(rating.points + rating.half_width for *_, rating in board)
    span = (high - low) or 1.0
    rows = "".join(
        f'<tr><td><a href="/model?id={model_id}">{escape(name)}</a></td><td>{_interval(rating, low, span)}</td>'
        f'<td class="h-num">{rating_words(rating)}</td></tr>'
        for name, model_id, rating in board
    )
    foot = f'<p class="h-quiet h-small">Elo points against {escape(board[0][2].reference)}, with 95 % intervals.</p>'
    table = f'<table class="h-table h-bare h-board"><tbody>{rows}</tbody></table>{foot}'
    return _card("Best models", table, _link("Leaderboard", "/board"))


def _interval(rating: Rating, low: float, span: float) -> str:
    left = (rating.points - rating.half_width - low) / span * 100
    return (
        f'<div class="h-interval"><i style="left:{left:.1f}%;width:{2 * rating.half_width / span * 100:.1f}%"></i>'
        f'<b style="left:{(rating.points - low) / span * 100:.1f}%"></b></div>'
    )


def votes_card(by_day: Sequence[int], total: int) -> str:
    """Votes of the last seven days, one bar a day."""
    most = max([*by_day, 1])
    bars = "".join(
        f'<i style="height:{count / most * 100:.0f}%"{"" if count else " data-none"}></i>' for count in by_day
    )
    return _card(
        "Votes this week",
        f'<div class="h-line h-apart"><span class="h-figure">{number(sum(by_day))}</span>'
        f'<span class="h-quiet h-small">{number(total)} in all</span></div>'
        f'<div class="h-bars" role="img" aria-label="Votes a day: {", ".join(map(str, by_day))}">{bars}</div>',
        _link("Vote", "/arena"),
    )


def workers_card(workers: Sequence[Worker]) -> str:
    if not workers:
        words = '<p class="h-quiet">Jobs wait. <code>hone up</code> or <code>hone worker</code> starts one.</p>'
        return _card("Workers", f"{chip('', 'No worker', 'bad')}{words}")
    rows = "".join(
        f"<tr><td>{escape(worker.name)}</td>"
        f'<td class="h-quiet">{escape(", ".join(device["name"] for device in worker.devices))}</td>'
        f'<td class="h-num">{counted(worker.slots, "slot")}</td></tr>'
        for worker in workers
    )
    table = f'<table class="h-table h-bare"><tbody>{rows}</tbody></table>'
    return _card("Workers", table, _link("What runs where", "/workers"))


def _card(title: str, body: str, action: str = "") -> str:
    return (
        f'<section class="h-card"><div class="h-card-head"><h2 class="h-h2">{title}</h2>{action}</div>{body}</section>'
    )


def _link(words: str, href: str) -> str:
    return f'<a class="h-small" href="{href}">{words}</a>'
