//! Lists, a page at a time, in the order of creation: ids are UUIDs of version 7. It is the clock that says when that was: where
//! it is set back between two starts, what is new has its place among what is older.

use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; `None` for the first page.
    pub after: Option<Uuid>,
    /// At least 1.
    pub limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// What [`Page::after`] is for the next page; `None` where this is the last.
    pub next: Option<Uuid>,
}

impl Page {
    /// Sorts before every id of version 7.
    pub(crate) fn after_or_first(self) -> Uuid {
        self.after.unwrap_or(Uuid::nil())
    }

    /// One row more than asked for, to know whether there is another page.
    pub(crate) fn rows(self) -> i64 {
        i64::from(self.limit) + 1
    }

    pub(crate) fn cut<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Paged<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(id) } else { None };
        Paged { items, next }
    }
}
