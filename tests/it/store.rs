//! The store as programs use it: several at once, killed, damaged, without a place to write.
