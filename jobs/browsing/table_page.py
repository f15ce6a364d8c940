"""Renders the HTML pages of the table: a page of images, and one image. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.columns import IMAGE_ID, URI
from jobs.browsing.query import LISTED, MAX_PAGE, SIZES
from jobs.pages.captions import data_uri
from jobs.pages.page import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.outputs import PublishedRun
    from jobs.browsing.columns import Column
    from jobs.browsing.image_table import FoundImage, ImageTable, Page
    from jobs.browsing.query import Query
    from jobs.pages.picture_files import Thumbnail


@dataclass(frozen=True)
class Heading:
    """A column header of the table, which sorts by it."""

    name: str
    address: str
    is_number: bool
    direction: str
    """Value of ``aria-sort``; empty unless the table is sorted by the column."""


@dataclass(frozen=True)
class Line:
    """An image as shown in the table."""

    place: str
    """Shard and row, as in addresses."""
    name: str
    failure: str
    message: str
    cells: Sequence[str]

    @property
    def short_name(self) -> str:
        """Returns the last part of the name, a short text that distinguishes the images of a page."""
        return self.name.rstrip("/").rpartition("/")[2] or self.name


def make_table_page(run: PublishedRun, table: ImageTable, query: Query, page: Page) -> str:
    num_pages = min(MAX_PAGE, max(1, -(-page.number // query.size)))
    shown = [(place, column) for place, column in enumerate(table.columns) if column.name not in (IMAGE_ID, URI)]
    names = [column for column in table.columns if column.name == IMAGE_ID]
    headings = [_heading(column, query) for column in (*names, *(column for _, column in shown))]
    around = {"first": 1, "previous": query.page - 1, "next": query.page + 1, "last": num_pages}
    return (
        environment()
        .get_template("browse.html")
        .render(
            run=run,
            table=table,
            query=query,
            number=page.number,
            num_pages=num_pages,
            start=(query.page - 1) * query.size,
            headings=headings,
            lines=[_line(image, shown, table.columns) for image in page.images],
            pages={
                name: query.address(page=number)
                for name, number in around.items()
                if 1 <= number <= num_pages and number != query.page
            },
            failures=[(name, f"{name} ({number:,})") for name, number in table.failures],
            sizes=[(size, str(size)) for size in SIZES],
            sorts=[(name, name) for name in (LISTED, *(heading.name for heading in headings))],
            sections=[],
        )
    )


def make_image_page(run: PublishedRun, table: ImageTable, image: FoundImage, picture: Thumbnail) -> str:
    named = zip(table.columns, image.values, strict=True)
    values = [(column.name, _cell(column, value)) for column, value in named if value is not None]
    failed = [("error", image.failure), ("message", image.message)] if image.failure else []
    return (
        environment()
        .get_template("browse_image.html")
        .render(
            run=run,
            name=_value(table.columns, image, IMAGE_ID),
            values=[*failed, *values],
            source=data_uri(picture.webp),
            note=picture.note,
            place=image.identity,
            sections=[],
        )
    )


def _heading(column: Column, query: Query) -> Heading:
    is_sorted = query.sort == column.name
    is_up = is_sorted and query.order == "up"
    address = query.address(sort=column.name, order="down" if is_up else "up", page=1)
    direction = ("ascending" if is_up else "descending") if is_sorted else ""
    return Heading(column.name, address, column.is_number, direction)


def _line(image: FoundImage, shown: Sequence[tuple[int, Column]], columns: Sequence[Column]) -> Line:
    cells = [_cell(column, image.values[place]) for place, column in shown]
    name = str(_value(columns, image, IMAGE_ID))
    return Line("/".join(map(str, image.identity)), name, image.failure, image.message, cells)


def _value(columns: Sequence[Column], image: FoundImage, name: str) -> Any:
    return next((value for column, value in zip(columns, image.values, strict=True) if column.name == name), "")


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.unit:
        return f"{value:,} {column.unit}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
