//! The program as users run it: every test starts the real binary.

mod cli {
    mod demo;
    mod documents;
    mod formats;
    mod program;
    mod refusals;
    mod serve;
    mod shell;
    mod streaming;
    mod terminal;
    mod verify;
}
