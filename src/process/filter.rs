//! The system calls that a confined child cannot make (spec: Sandbox for untrusted code).
//!
//! What builds, tests and tools need is allowed. Refused is what reaches into other processes, the keyring of the kernel,
//! mounts and namespaces, the clock and the kernel itself, and what keeps the other guards from being complete.

use std::collections::BTreeMap;

use super::program::{self, Refusal, Test};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

const X86_64: bool = cfg!(target_arch = "x86_64");

const fn number(x86_64: i64, aarch64: i64) -> i64 {
    if X86_64 { x86_64 } else { aarch64 }
}

/// Calls that fail with "not permitted", whatever their arguments.
const REFUSED: [i64; 51] = [
    number(101, 117), // ptrace
    number(310, 270), // process_vm_readv
    number(311, 271), // process_vm_writev
    number(312, 272), // kcmp
    438,              // pidfd_getfd
    number(248, 217), // add_key
    number(249, 218), // request_key
    number(250, 219), // keyctl
    number(165, 40),  // mount
    number(166, 39),  // umount2
    number(155, 41),  // pivot_root
    428,              // open_tree
    429,              // move_mount
    430,              // fsopen
    431,              // fsconfig
    432,              // fsmount
    433,              // fspick
    442,              // mount_setattr
    467,              // open_tree_attr
    number(161, 51),  // chroot
    number(272, 97),  // unshare
    number(308, 268), // setns
    number(321, 280), // bpf
    number(298, 241), // perf_event_open
    number(323, 282), // userfaultfd
    425,              // io_uring_setup
    426,              // io_uring_enter
    427,              // io_uring_register
    number(246, 104), // kexec_load
    number(320, 294), // kexec_file_load
    number(175, 105), // init_module
    number(313, 273), // finit_module
    number(176, 106), // delete_module
    number(167, 224), // swapon
    number(168, 225), // swapoff
    number(169, 142), // reboot
    number(103, 116), // syslog
    number(163, 89),  // acct
    number(179, 60),  // quotactl
    443,              // quotactl_fd
    number(304, 265), // open_by_handle_at
    number(164, 170), // settimeofday
    number(227, 112), // clock_settime
    number(305, 266), // clock_adjtime
    number(159, 171), // adjtimex
    number(170, 161), // sethostname
    number(171, 162), // setdomainname
    number(172, 171), // iopl, on other machines the one above
    number(173, 171), // ioperm, likewise
    number(153, 58),  // vhangup
    number(300, 262), // fanotify_init
];

/// Calls that change attributes of files: programs know file systems that have none. Modes and times are not among
/// them: builds set those of their own files all the time, and a filter does not see which file it is.
const ATTRIBUTES: [i64; 9] = [
    number(188, 5),  // setxattr
    number(189, 6),  // lsetxattr
    number(190, 7),  // fsetxattr
    number(197, 14), // removexattr
    number(198, 15), // lremovexattr
    number(199, 16), // fremovexattr
    463,             // setxattrat
    466,             // removexattrat
    469,             // file_setattr
];

/// Numbers of calls that kernels may have some day: nobody has looked at what they do.
const UNKNOWN: std::ops::Range<i64> = 470..486;

const CLONE: i64 = number(56, 220);
const CLONE3: i64 = 435;
const IOCTL: i64 = number(16, 29);
const SOCKET: i64 = number(41, 198);
const SOCKETPAIR: i64 = number(53, 199);
const MKNOD: i64 = 133;
const MKNODAT: i64 = number(259, 33);

/// What `clone` may not make: namespaces for mounts, control groups, names, messages, users, processes, the network.
const NAMESPACES: [u32; 7] = [
    0x0002_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

/// Requests that put words into the terminal of whoever started us.
const TYPING: [u32; 2] = [0x5412, 0x541c];

/// The bits of a file's mode that say what it is, and those of devices.
const KIND: u32 = 0o170_000;
const DEVICES: [u32; 2] = [0o020_000, 0o060_000];

/// The bits of a socket's type that are no flags, and the types whose pairs could be connected to others afterwards.
const SOCKET_TYPE: u32 = 0xf;
const FREE: [u32; 2] = [2, 3];

const UNIX: u32 = 1;
const INTERNET: [u32; 2] = [2, 10];
const NETLINK: u32 = 16;

const NOT_PERMITTED: u32 = 1;
const NOT_KNOWN: u32 = 38;
const NOT_SUPPORTED: u32 = 95;

/// What a child may do that is not always harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Sockets for the internet: harmless where it has a network of its own.
    pub(super) internet: bool,
    /// Sockets for other programs of this machine: harmless where none of theirs can be reached.
    pub(super) local: bool,
    /// Attributes of files: harmless where those of others cannot be changed.
    pub(super) attributes: bool,
}

/// Refuses all this to this process and what it starts, for ever.
pub(super) fn refuse(allowed: Allowed) -> Result<(), String> {
    let program = program::of(&refusals(allowed));
    seccompiler::apply_filter(&program).map_err(|error| format!("no filter: {error}"))
}

/// Refuses every call but these to this process, for ever.
pub(super) fn leave_only(allowed: Rules) -> Result<(), String> {
    let refused = SeccompAction::Errno(NOT_PERMITTED);
    let program = compile_with(allowed, refused, SeccompAction::Allow);
    let program = program.map_err(|error| format!("no filter: {error}"))?;
    seccompiler::apply_filter(&program).map_err(|error| format!("no filter: {error}"))
}

/// What one thread needs that computes, and reads and writes files.
pub(super) fn of_a_library() -> Rules {
    let mut rules: Rules = COMPUTING.iter().map(|call| (*call, Vec::new())).collect();
    rules.extend(EARLIER.iter().map(|call| (*call, Vec::new())));
    let equal = |argument: u8, values: &[u64]| -> Vec<Vec<(u8, SeccompCmpOp, u64)>> {
        let one = |value: &u64| vec![(argument, SeccompCmpOp::Eq, *value)];
        values.iter().map(one).collect()
    };
    let own = u64::from(std::process::id());
    rules.push((libc::SYS_tgkill, equal(0, &[own])));
    rules.push((libc::SYS_prlimit64, equal(0, &[0])));
    rules.push((libc::SYS_fcntl, equal(1, &FCNTL)));
    rules.push((libc::SYS_ioctl, equal(1, &ASKING)));
    rules
}

/// What one thread needs that interprets, and reads and writes files: memory that is run is not among it.
pub(super) fn of_an_interpreter() -> Rules {
    let mut rules = of_a_library();
    for (call, conditions) in &mut rules {
        if [libc::SYS_mmap, libc::SYS_mprotect].contains(call) {
            conditions.push(vec![(2, SeccompCmpOp::MaskedEq(RUN), 0)]);
        }
    }
    // With it the way to a file ends in its folder, whatever links are on it.
    rules.push((libc::SYS_openat2, Vec::new()));
    rules
}

/// Calls that are allowed whatever their arguments. Those that change modes, owners and times are not among them: Landlock
/// does not guard these.
const COMPUTING: [i64; 77] = [
    libc::SYS_brk,
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendfile,
    libc::SYS_sigaltstack,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sysinfo,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_write,
];

/// Calls of the same kind under which older libraries know them.
#[cfg(target_arch = "x86_64")]
const EARLIER: [i64; 18] = [
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_getdents,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_writev,
];

/// Calls of the same kind under which older libraries know them: there are none.
#[cfg(not(target_arch = "x86_64"))]
const EARLIER: [i64; 1] = [libc::SYS_writev];

/// The bit of a piece of memory that says that it may be run.
const RUN: u64 = 4;

/// Commands of `fcntl`: copies, flags and locks, and nothing that has signals sent.
const FCNTL: [u64; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030];

/// Requests of `ioctl` that only ask: whether it is a terminal, and how much there is to read.
const ASKING: [u64; 2] = [0x5401, 0x541b];

pub(super) type Rules = Vec<(i64, Vec<Vec<(u8, SeccompCmpOp, u64)>>)>;

fn refusals(allowed: Allowed) -> BTreeMap<u32, Refusal> {
    let each = |argument: u8, all: &[u32]| -> Vec<Vec<(u8, Test)>> {
        all.iter()
            .map(|value| vec![(argument, Test::Is(*value))])
            .collect()
    };
    let masked = |argument: u8, mask: u32, all: &[u32]| -> Vec<Vec<(u8, Test)>> {
        let one = |value: &u32| vec![(argument, Test::Has(mask, *value))];
        all.iter().map(one).collect()
    };
    let namespaces = NAMESPACES.iter();
    let namespaces = namespaces.map(|flag| vec![(0, Test::Has(*flag, *flag))]);
    let mut some = vec![
        (IOCTL, each(1, &TYPING)),
        (CLONE, namespaces.collect()),
        (MKNODAT, masked(2, KIND, &DEVICES)),
    ];
    if X86_64 {
        some.push((MKNOD, masked(1, KIND, &DEVICES)));
    }
    if !allowed.local {
        some.push((SOCKETPAIR, masked(1, SOCKET_TYPE, &FREE)));
    }
    let families = INTERNET.into_iter().filter(|_| allowed.internet);
    let families = families.chain([UNIX].into_iter().filter(|_| allowed.local));
    let others = families.chain([NETLINK]);
    let others = others.map(|family| (0, Test::IsNot(family)));
    some.push((SOCKET, vec![others.collect()]));

    let attributes = ATTRIBUTES.into_iter().filter(|_| !allowed.attributes);
    let always = REFUSED.into_iter().map(|call| (call, NOT_PERMITTED));
    let always = always
        .chain(UNKNOWN.chain([CLONE3]).map(|call| (call, NOT_KNOWN)))
        .chain(attributes.map(|call| (call, NOT_SUPPORTED)))
        .map(|(call, errno)| (call, Vec::new(), errno));
    let some = some
        .into_iter()
        .map(|(call, when)| (call, when, NOT_PERMITTED));
    let all = always.chain(some).map(|(call, when, errno)| {
        let call = u32::try_from(call).expect("numbers of calls are small");
        (call, Refusal { when, errno })
    });
    all.collect()
}

/// A filter with what becomes of calls that no rule names, and of those that one does.
fn compile_with(
    rules: Rules,
    others: SeccompAction,
    named: SeccompAction,
) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let mut all = BTreeMap::new();
    for (call, conditions) in rules {
        let chains = conditions.into_iter().map(|chain| {
            let conditions = chain.into_iter().map(|(argument, operator, value)| {
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
            });
            SeccompRule::new(conditions.collect::<Result<_, _>>()?)
        });
        all.insert(call, chains.collect::<Result<Vec<_>, _>>()?);
    }
    let architecture = if X86_64 {
        TargetArch::x86_64
    } else {
        TargetArch::aarch64
    };
    let filter = SeccompFilter::new(all, others, named, architecture)?;
    Ok(filter.try_into()?)
}
