//! Arguments to [`edgewatch::cli`], result to exit code; nothing else.

fn main() -> std::process::ExitCode {
    edgewatch::cli::main()
}
