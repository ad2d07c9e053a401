//! What protects the root key: it is stored wrapped, once per configured seal.

pub(crate) mod file;
pub(crate) mod root;

pub(crate) use file::FileSeal;
