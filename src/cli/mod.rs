//! The command line: one file for each command (spec: CLI Arguments, Deployment Modes).
//!
//! Exit codes: 0 when what was asked for is done, 1 when problems remain or a check failed, 2 for a wrong command line,
//! 3 when something that the command needs is missing. Machines read `--json`; people get colour on terminals.

pub mod asking;
pub mod audit;
pub mod config;
pub mod cost;
pub mod demo;
pub mod doctor;
pub mod editor;
pub mod fix;
pub mod frames;
mod guests;
pub mod headless;
pub mod history;
pub mod interrupt;
pub mod mcp;
pub mod model;
pub mod paint;
pub mod place;
pub mod plugin;
pub mod prompts;
pub mod proxy;
pub mod redact;
pub mod remote;
pub mod run;
pub mod secret;
pub mod serve;
pub mod session;
pub mod status;
pub mod tool;
pub mod trust;
pub mod undo;
pub mod whence;
pub mod why;
pub mod wording;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::plugins;
use crate::process::launch;

/// Done.
pub const EXIT_DONE: u8 = 0;
/// Problems remain, or a check failed.
pub const EXIT_PROBLEMS: u8 = 1;
/// Something that the command needs is missing.
pub const EXIT_MISSING: u8 = 3;

/// A coding agent that is a language server.
///
/// Without a command, meliora is the language server: give it to your editor in place of rust-analyzer, pylsp, gopls
/// or typescript-language-server. It starts those itself and adds proven repairs.
#[derive(Debug, Parser)]
#[command(name = "meliora", version, arg_required_else_help = false)]
struct Arguments {
    /// Set a key of the configuration for this call, above all files: --set llm.model=gpt-4o.
    #[arg(
        long,
        global = true,
        value_name = "KEY=VALUE",
        help_heading = "Configuration"
    )]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Serve(serve::Arguments),
    Proxy(proxy::Arguments),
    Status(status::Arguments),
    Whence(whence::Arguments),
    Frames(frames::Arguments),
    Fix(fix::Arguments),
    Run(run::Arguments),
    Undo(undo::Undo),
    Redo(undo::Redo),
    History(history::Arguments),
    Audit(audit::Arguments),
    Trust(trust::Arguments),
    Config(config::Arguments),
    Model(model::Arguments),
    Prompts(prompts::Arguments),
    Cost(cost::Arguments),
    /// Print the JSON Schema of the configuration, for editors and other programs.
    Schema,
    Doctor(doctor::Arguments),
    Redact(redact::Arguments),
    Secret(secret::Arguments),
    Why(why::Arguments),
    Tool(tool::Arguments),
    Plugin(plugin::Arguments),
    Mcp(mcp::Arguments),
}

/// Runs the program: first the launcher of child processes, which must come before any thread, then the command.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == launch::COMMAND)
    {
        arguments.remove(0);
        #[cfg(target_os = "linux")]
        return ExitCode::from(u8::try_from(launch::run(arguments)).unwrap_or(1));
    }
    if arguments
        .first()
        .is_some_and(|first| first == launch::ABILITY_COMMAND)
    {
        return doctor::print_ability();
    }
    #[cfg(target_os = "linux")]
    if arguments
        .first()
        .is_some_and(|first| first == plugins::HOST_COMMAND)
    {
        return plugin::host();
    }
    let arguments = Arguments::parse();
    place::set(arguments.set);
    match arguments.command {
        Some(Command::Demo(arguments)) => demo::run(&arguments),
        Some(Command::Fix(arguments)) => fix::run(&arguments),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Undo(arguments)) => undo::run_undo(&arguments),
        Some(Command::Redo(arguments)) => undo::run_redo(&arguments),
        Some(Command::History(arguments)) => history::run(&arguments),
        Some(Command::Audit(arguments)) => audit::run(&arguments),
        Some(Command::Trust(arguments)) => trust::run(&arguments),
        Some(Command::Config(arguments)) => config::run(&arguments),
        Some(Command::Cost(arguments)) => cost::run(&arguments),
        Some(Command::Model(arguments)) => model::run(&arguments),
        Some(Command::Prompts(arguments)) => prompts::run(&arguments),
        Some(Command::Schema) => config::print_schema(),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Redact(arguments)) => redact::run(&arguments),
        Some(Command::Secret(arguments)) => secret::run(&arguments),
        Some(Command::Why(arguments)) => why::run(&arguments),
        Some(Command::Tool(arguments)) => tool::run(&arguments),
        Some(Command::Plugin(arguments)) => plugin::run(&arguments),
        Some(Command::Mcp(arguments)) => mcp::run(&arguments),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Proxy(arguments)) => proxy::run(&arguments),
        Some(Command::Status(arguments)) => status::run(&arguments),
        Some(Command::Whence(arguments)) => whence::run(&arguments),
        Some(Command::Frames(arguments)) => frames::run(&arguments),
        // Editors give us pipes. A person at a terminal wants to know what this is.
        None if std::io::stdin().is_terminal() => explain(),
        None => serve::run(&serve::Arguments::default()),
    }
}

fn explain() -> ExitCode {
    // Nothing can be done about a terminal that does not take the help.
    let _ = Arguments::command().print_help();
    paint::say(
        "\nTry `meliora demo`, or `meliora fix` in a project; in an editor, give `meliora` as the server's command.",
    );
    ExitCode::SUCCESS
}
