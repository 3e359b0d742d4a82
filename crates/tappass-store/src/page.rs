//! Lists in pages, by an opaque cursor: the sort key of the last row given.

use crate::StoreError;

/// The most a page can hold.
pub const MAX_LIMIT: u32 = 500;

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows at most; held between 1 and [`MAX_LIMIT`].
    pub limit: u32,
    /// [`Page::next`] of the page before.
    pub cursor: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: 100, cursor: None }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

impl PageRequest {
    /// The sort key after which the page begins; blank before the first.
    pub(crate) fn after(&self) -> Result<String, StoreError> {
        let Some(cursor) = &self.cursor else { return Ok(String::new()) };
        let bytes = hex::decode(cursor).map_err(|_| StoreError::Cursor)?;
        String::from_utf8(bytes).map_err(|_| StoreError::Cursor)
    }

    /// How many rows to ask for: one more than the page holds, to know whether another follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.size()) + 1
    }

    fn size(&self) -> u32 {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// Cuts the surplus row off and makes the cursor.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let size = self.size() as usize;
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| hex::encode(key(last)));
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_leads_on_and_ends() {
        let first = PageRequest { limit: 2, cursor: None };
        let page = first.page(vec!["a", "b", "c"], |s| (*s).to_owned());
        assert_eq!(page.items, ["a", "b"]);
        let second = PageRequest { limit: 2, cursor: page.next };
        assert_eq!(second.after().expect("a cursor"), "b");
        assert_eq!(second.page(vec!["c"], |s| (*s).to_owned()).next, None);
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        let request = PageRequest { cursor: Some("zz".to_owned()), ..PageRequest::default() };
        assert!(matches!(request.after(), Err(StoreError::Cursor)));
    }
}
