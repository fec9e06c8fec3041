//! Tasks in words: prompts, stories, scorers, files of prompts, key tokens.

mod facts;
mod files;
mod key_tokens;
mod prompts;
mod scorers;
