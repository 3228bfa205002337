//! Rules for system calls as a program for the kernel's filter (spec: Sandbox for untrusted code).
//!
//! The kernel walks through the program for every number of a call when it is installed, and through it again for each
//! call that depends on its arguments. So numbers are looked for by halves, not one after the other, and all rules are
//! one program.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

/// A condition on the lower half of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// It is this.
    Is(u32),
    /// It is anything else.
    IsNot(u32),
    /// Of the bits in the first number it has exactly those in the second.
    Has(u32, u32),
}

/// When a call fails, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// It fails when all conditions of one of these hold, each on the argument of that number; none: always.
    pub(super) when: Vec<Vec<(u8, Test)>>,
    /// The error.
    pub(super) errno: u32,
}

/// What the kernel calls this machine.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else {
    0xc000_00b7
};

/// Numbers from here on are calls of another kind on the same machine (`x32`); others have none so large.
const FOREIGN: u32 = 0x4000_0000;

const NOT_KNOWN: u32 = 38;

/// Where the kernel puts what it knows of a call.
const NUMBER_AT: u32 = 0;
const MACHINE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

/// Instructions, as in bpf(4).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_FROM: u16 = 0x35;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const FAIL: u32 = 0x0005_0000;
const KILL: u32 = 0x8000_0000;

/// Numbers that are compared one after the other when so few are left.
const LEAF_MAX: usize = 3;

/// The program that lets every call through but these.
pub(super) fn of(refusals: &BTreeMap<u32, Refusal>) -> BpfProgram {
    let mut program = vec![
        load(MACHINE_AT),
        jump(JUMP_EQUAL, MACHINE, 1, 0),
        end(KILL),
        load(NUMBER_AT),
        jump(JUMP_FROM, FOREIGN, 0, 1),
        end(FAIL | NOT_KNOWN),
    ];
    let refusals: Vec<(u32, &Refusal)> = refusals.iter().map(|(call, it)| (*call, it)).collect();
    program.extend(search(&refusals));
    program
}

/// Finds the call among these and says what becomes of it.
fn search(refusals: &[(u32, &Refusal)]) -> BpfProgram {
    let (before, after) = refusals.split_at(refusals.len() / 2);
    let Some((middle, _)) = after.first().filter(|_| refusals.len() > LEAF_MAX) else {
        let mut leaf: BpfProgram = refusals.iter().flat_map(|one| judged(*one)).collect();
        leaf.push(end(ALLOW));
        return leaf;
    };
    let (before, after) = (search(before), search(after));
    let far = u32::try_from(before.len()).expect("a few hundred instructions");
    let mut program = vec![jump(JUMP_FROM, *middle, 0, 1), jump(JUMP, far, 0, 0)];
    program.extend(before);
    program.extend(after);
    program
}

/// Says what becomes of one call; goes on behind its end when it is another.
fn judged((call, refusal): (u32, &Refusal)) -> BpfProgram {
    let refused = end(FAIL | refusal.errno);
    let mut body = BpfProgram::new();
    for chain in &refusal.when {
        let mut rest = vec![refused.clone()];
        for (argument, test) in chain.iter().rev() {
            let past = u8::try_from(rest.len()).expect("a few conditions");
            let place = ARGUMENTS_AT + u32::from(*argument) * ARGUMENT_BYTES;
            let mut checked = vec![load(place)];
            match test {
                Test::Is(value) => checked.push(jump(JUMP_EQUAL, *value, 0, past)),
                Test::IsNot(value) => checked.push(jump(JUMP_EQUAL, *value, past, 0)),
                Test::Has(mask, value) => {
                    checked.push(jump(AND, *mask, 0, 0));
                    checked.push(jump(JUMP_EQUAL, *value, 0, past));
                }
            }
            checked.extend(rest);
            rest = checked;
        }
        body.extend(rest);
    }
    body.push(if refusal.when.is_empty() {
        refused
    } else {
        end(ALLOW)
    });
    let past = u8::try_from(body.len()).expect("a few conditions");
    let mut program = vec![jump(JUMP_EQUAL, call, 0, past)];
    program.extend(body);
    program
}

fn load(place: u32) -> sock_filter {
    jump(LOAD, place, 0, 0)
}

fn end(verdict: u32) -> sock_filter {
    jump(RETURN, verdict, 0, 0)
}

/// An instruction; `yes` and `no` say how many are passed over.
fn jump(code: u16, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, and in how many steps.
    fn run(program: &BpfProgram, machine: u32, call: u32, arguments: [u32; 6]) -> (u32, usize) {
        let (mut at, mut value) = (0, 0);
        for step in 1.. {
            let it = &program[at];
            at += 1;
            match it.code {
                LOAD if it.k == NUMBER_AT => value = call,
                LOAD if it.k == MACHINE_AT => value = machine,
                LOAD => value = arguments[((it.k - ARGUMENTS_AT) / ARGUMENT_BYTES) as usize],
                AND => value &= it.k,
                JUMP => at += it.k as usize,
                JUMP_EQUAL => at += usize::from(if value == it.k { it.jt } else { it.jf }),
                JUMP_FROM => at += usize::from(if value >= it.k { it.jt } else { it.jf }),
                RETURN => return (it.k, step),
                other => panic!("{other:#x}"),
            }
        }
        unreachable!("every program returns")
    }

    fn expected(refusals: &BTreeMap<u32, Refusal>, call: u32, arguments: [u32; 6]) -> u32 {
        let holds = |(argument, test): &(u8, Test)| {
            let value = arguments[usize::from(*argument)];
            match test {
                Test::Is(it) => value == *it,
                Test::IsNot(it) => value != *it,
                Test::Has(mask, it) => value & mask == *it,
            }
        };
        let Some(refusal) = refusals.get(&call) else {
            return ALLOW;
        };
        let is_refused =
            refusal.when.is_empty() || refusal.when.iter().any(|chain| chain.iter().all(holds));
        if is_refused {
            FAIL | refusal.errno
        } else {
            ALLOW
        }
    }

    #[test]
    fn a_program_refuses_exactly_what_its_rules_say_in_few_steps() {
        let always = |errno| Refusal {
            when: Vec::new(),
            errno,
        };
        let when = |when: &[&[(u8, Test)]]| Refusal {
            when: when.iter().map(|chain| chain.to_vec()).collect(),
            errno: 1,
        };
        for count in 0..90 {
            let mut refusals: BTreeMap<u32, Refusal> = (0..count)
                .map(|one| (one * one % 470, always(38)))
                .collect();
            refusals.insert(41, when(&[&[(0, Test::IsNot(1)), (0, Test::IsNot(16))]]));
            refusals.insert(
                56,
                when(&[&[(0, Test::Has(4, 4))], &[(0, Test::Has(8, 8))]]),
            );
            refusals.insert(
                16,
                when(&[&[(1, Test::Is(7)), (2, Test::Is(9))], &[(5, Test::Is(3))]]),
            );
            let program = of(&refusals);
            for call in (0..500).chain([u32::MAX]) {
                for first in [0, 1, 4, 7, 12, 16] {
                    for second in [0, 3, 7, 9] {
                        let arguments = [first, first, second, 0, 0, second];
                        let (verdict, steps) = run(&program, MACHINE, call, arguments);
                        let wanted = if call >= FOREIGN {
                            FAIL | NOT_KNOWN
                        } else {
                            expected(&refusals, call, arguments)
                        };
                        assert_eq!(verdict, wanted, "{call} {arguments:?}");
                        assert!(steps < 40, "{steps}");
                    }
                }
            }
            assert_eq!(run(&program, MACHINE ^ 1, 1, [0; 6]).0, KILL);
        }
    }
}
