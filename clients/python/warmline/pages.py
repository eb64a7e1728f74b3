"""Lists come in pages. ``page["data"]`` is what one holds; a loop over it goes on through all that follow."""

from __future__ import annotations

from typing import Any, Callable, Dict, Generic, Iterator, List, Optional, TypeVar

Row = TypeVar("Row")


class Page(Generic[Row]):
    """One page, and in a loop all rows from its first on."""

    def __init__(self, load: Callable[[Optional[str]], Dict[str, Any]], cursor: Optional[str] = None) -> None:
        self._load = load
        self._answer = load(cursor)

    @property
    def data(self) -> List[Row]:
        return self._answer["data"]

    @property
    def has_more(self) -> bool:
        return self._answer["hasMore"]

    @property
    def next_cursor(self) -> Optional[str]:
        return self._answer["nextCursor"]

    def __getitem__(self, name: str) -> Any:
        """As the wire has it: ``data``, ``hasMore``, ``nextCursor``."""
        return self._answer[name]

    def next_page(self) -> Optional[Page[Row]]:
        """``None`` after the last one. A page may be empty and still have one after it."""
        if self.next_cursor is None:
            return None
        return Page(self._load, self.next_cursor)

    def __iter__(self) -> Iterator[Row]:
        page: Optional[Page[Row]] = self
        while page is not None:
            yield from page.data
            page = page.next_page()

    def __repr__(self) -> str:
        return f"<Page of {len(self.data)}{', more follow' if self.has_more else ''}>"
