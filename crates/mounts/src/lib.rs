//! Makes all mounts beneath a folder read-only, with one system call (spec: Sandbox for untrusted code).
//!
//! `mount_setattr` has no safe form in any crate, and a call for each mount made every confined start slower. It is a crate
//! of its own so that unsafe code stays forbidden in the program.
#![cfg(target_os = "linux")]

use std::ffi::CStr;
use std::io;

/// Makes a mount and all beneath it read-only, in the namespace of mounts of this thread. Needs Linux 5.12, and that
/// nothing in them is open to write; all stay as they were where it fails.
pub fn make_read_only(mount: &CStr) -> io::Result<()> {
    let wanted = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with a zero byte and the attributes have the size that is said; the kernel reads both and
    // keeps neither.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            mount.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const wanted,
            size_of_val(&wanted),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    #[test]
    fn what_is_no_mount_is_an_error() {
        let refused = super::make_read_only(c"/usr/bin").expect_err("it is a folder of a mount");
        assert!(matches!(
            refused.kind(),
            ErrorKind::InvalidInput | ErrorKind::PermissionDenied
        ));
    }
}
