//! The language servers behind us, and what they say and ask by themselves (spec: LSP Manager).
//!
//! Their lives ([`behind`], [`waiting`], [`restart`], [`silence`]) and folders ([`roots`]), how each counts ([`columns`]),
//! what they find ([`findings`], [`diagnostics`], [`late`]), what they want from the editor ([`registrations`], [`watches`],
//! [`tokens`], [`names`], [`refresh`], [`configuration`], [`applying`]), what the editor hears of who comes late
//! ([`announcing`]), and what they are told: all of them ([`everyone`]), or when they come back ([`notebooks`]).

pub(in crate::server) mod announcing;
pub(in crate::server) mod applying;
pub mod behind;
pub(in crate::server) mod columns;
pub(in crate::server) mod configuration;
pub mod diagnostics;
pub(in crate::server) mod everyone;
pub(in crate::server) mod findings;
pub(in crate::server) mod late;
pub(in crate::server) mod names;
pub(in crate::server) mod notebooks;
pub(in crate::server) mod refresh;
pub mod registrations;
pub(in crate::server) mod restart;
pub(in crate::server) mod roots;
pub(in crate::server) mod silence;
pub mod tokens;
pub mod waiting;
pub(in crate::server) mod watches;
