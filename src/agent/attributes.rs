//! What a file has besides its text, owner and mode: an access list, and attributes that programs gave it (spec: File
//! Operations).
//!
//! Of a file with an access list, the mode shows for the group what the list allows to anybody at most. Where the list
//! does not come along, that would be too much: a mode without the list has what the list says of the group.

#[cfg(not(target_os = "linux"))]
pub(super) use nowhere::{copy, mode_with_list, mode_without_list, mode_without_list_at};
#[cfg(target_os = "linux")]
pub(super) use on_linux::{copy, mode_with_list, mode_without_list, mode_without_list_at};

#[cfg(target_os = "linux")]
mod on_linux {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr};
    use rustix::io::Errno;

    /// The attribute that is the access list.
    const LIST: &str = "system.posix_acl_access";
    /// Attributes that programs give files. Those of the system are not for us to copy.
    const OF_PROGRAMS: &str = "user.";
    /// Largest value of an attribute, and largest list of their names.
    const BYTES_MAX: usize = 1 << 16;
    /// Entries of an access list that are for the group of the file, and for all but its owner at most.
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;

    /// Gives a file what the one has that it replaces.
    pub(in crate::agent) fn copy(from: &File, to: &File) -> io::Result<()> {
        let list = copy_list(from, to);
        let attributes = copy_attributes(from, to);
        list.and(attributes)
    }

    fn copy_list(from: &File, to: &File) -> io::Result<()> {
        let mut value = vec![0; BYTES_MAX];
        match fgetxattr(from, LIST, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(fsetxattr(to, LIST, &value, XattrFlags::empty())?)
            }
            // The folder may have given it one.
            Err(Errno::NODATA) => match fremovexattr(to, LIST) {
                Ok(()) | Err(Errno::NODATA) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
        let mut names = vec![0; BYTES_MAX];
        match flistxattr(from, &mut names[..]) {
            Ok(length) => names.truncate(length),
            Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let names = names.split(|byte| *byte == 0);
        let mut value = vec![0; BYTES_MAX];
        for name in names.filter(|name| name.starts_with(OF_PROGRAMS.as_bytes())) {
            let length = fgetxattr(from, name, &mut value[..])?;
            let value = value.get(..length).unwrap_or_default();
            fsetxattr(to, name, value, XattrFlags::empty())?;
        }
        Ok(())
    }

    /// The mode that a file has, or would have without its access list.
    pub(in crate::agent) fn mode_without_list(file: &File, mode: u32) -> u32 {
        let mut value = vec![0; BYTES_MAX];
        let length = fgetxattr(file, LIST, &mut value[..]).unwrap_or(0);
        without(&value, length, mode)
    }

    /// The same of what is at a path.
    pub(in crate::agent) fn mode_without_list_at(path: &Path, mode: u32) -> u32 {
        let mut value = vec![0; BYTES_MAX];
        let length = getxattr(path, LIST, &mut value[..]).unwrap_or(0);
        without(&value, length, mode)
    }

    /// The mode to set so that a file, whose access list came along, allows what it did.
    pub(in crate::agent) fn mode_with_list(file: &File, mode: u32) -> io::Result<u32> {
        let own = file.metadata()?.permissions().mode() & 0o777;
        let is_the_same = mode_without_list(file, own) == mode & 0o777;
        Ok(if is_the_same {
            own | (mode & 0o7000)
        } else {
            mode
        })
    }

    fn without(list: &[u8], length: usize, mode: u32) -> u32 {
        // After the version of the format come entries of a kind, what it allows, and for whom.
        let entries = list.get(4..length).unwrap_or_default().chunks_exact(8);
        let allowed = |wanted: u16| {
            entries.clone().find_map(|entry| match entry {
                [kind, kind_high, allowed, ..] => {
                    let kind = u16::from_le_bytes([*kind, *kind_high]);
                    (kind == wanted).then(|| u32::from(*allowed) & 0o7)
                }
                _ => None,
            })
        };
        match (allowed(GROUP), allowed(MASK)) {
            (Some(group), Some(mask)) => (mode & !0o070) | ((group & mask) << 3),
            _ => mode,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(in crate::agent) fn copy(_from: &File, _to: &File) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::agent) fn mode_without_list(_file: &File, mode: u32) -> u32 {
        mode
    }

    pub(in crate::agent) fn mode_without_list_at(_path: &Path, mode: u32) -> u32 {
        mode
    }

    pub(in crate::agent) fn mode_with_list(_file: &File, mode: u32) -> io::Result<u32> {
        Ok(mode)
    }
}
