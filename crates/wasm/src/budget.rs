//! What the memories and tables of a plugin may hold, all together (spec: Resource limits).

use wasmtime::ResourceLimiter;

/// Bytes that an entry of a table takes.
const ENTRY_BYTES: usize = size_of::<usize>();

/// Modules, memories and tables that a component may be made of. What compilers of larger languages make has about forty.
const INSTANCES_MAX: usize = 100;
const MEMORIES_MAX: usize = 20;
const TABLES_MAX: usize = 100;

/// What is left to a plugin.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_left: usize,
}

impl Budget {
    /// All memories and tables together have at most so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes_left: bytes }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let entries = desired.saturating_sub(current);
        Ok(self.take(entries.saturating_mul(ENTRY_BYTES)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_and_more_than_is_left_is_refused() {
        let mut budget = Budget::new(100);
        assert!(budget.memory_growing(0, 60, None).expect("judged"));
        assert!(!budget.memory_growing(0, 41, None).expect("judged"));
        assert!(!budget.table_growing(0, usize::MAX, None).expect("judged"));
        assert!(budget.table_growing(0, 5, None).expect("judged"));
        assert!(!budget.memory_growing(60, 61, None).expect("judged"));
    }
}
