//! The program: arguments, runtime, dispatch, exit code. What it does is in `tappass_cli`.

use std::process::ExitCode;

/// The C library's keeps what many streams at once needed; this one gives it back (docs/decisions/0001-dependencies.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything that could speak TLS. An error means that it was done before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match tappass_cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(tappass_cli::run(cli)),
        Err(error) => {
            // Nothing of ours runs yet that could say it better.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("error: no runtime: {error}\n"),
            );
            tappass_cli::Exit::Failed.into()
        }
    }
}
