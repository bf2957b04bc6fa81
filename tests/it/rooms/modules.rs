//! A crate's modules, read as far as it takes to know who uses whom: without tests, and without
//! what only type inference knows, such as whose a method is.

use std::collections::BTreeMap;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// A module's name as segments, from the crate's root on; none is the root.
pub(super) type Module = Vec<String>;
type Tokens = Peekable<token_stream::IntoIter>;

/// What one module names.
pub(super) struct Names {
    pub(super) file: PathBuf,
    /// Each path that is written in it. What a `use` in braces names is a path of its own.
    pub(super) paths: Vec<Vec<String>>,
    /// The paths of `use`, by the names that they have here.
    uses: BTreeMap<String, Vec<String>>,
}

/// The modules of a crate.
#[derive(Default)]
pub(super) struct Modules(pub(super) BTreeMap<Module, Names>);

impl Modules {
    /// `root` is `lib.rs` or `main.rs`.
    pub(super) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        modules.file(root.to_owned(), root.parent().unwrap(), vec![]);
        modules
    }

    /// Reads `file`, whose modules lie in `folder`.
    fn file(&mut self, file: PathBuf, folder: &Path, module: Module) {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.module(text.parse().unwrap(), file, folder, module);
    }

    fn module(&mut self, code: TokenStream, file: PathBuf, folder: &Path, module: Module) {
        let mut names = Names { file, paths: vec![], uses: BTreeMap::new() };
        self.code(code, &mut names, folder, &module);
        self.0.insert(module, names);
    }

    fn code(&mut self, code: TokenStream, names: &mut Names, folder: &Path, module: &Module) {
        let mut tokens = code.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.code(group.stream(), names, folder, module),
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let attribute = tokens.next().map(|it| it.to_string().replace(' ', ""));
                    if attribute.is_some_and(|it| it == "[cfg(test)]") {
                        skip_item(&mut tokens);
                    }
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let Some(name) = tokens.next_if(|it| matches!(it, TokenTree::Ident(_))) {
                        let name = name.to_string();
                        let (below, child) = (folder.join(&name), [&module[..], &[name]].concat());
                        if let Some(TokenTree::Group(body)) = tokens.next() {
                            self.module(body.stream(), names.file.clone(), &below, child);
                        } else {
                            let [one, other] = [below.with_extension("rs"), below.join("mod.rs")];
                            self.file(if one.exists() { one } else { other }, &below, child);
                        }
                    }
                }
                // `pub(in crate::above)` uses nothing.
                TokenTree::Ident(word) if word == "pub" => {
                    tokens.next_if(|it| matches!(it, TokenTree::Group(_)));
                }
                TokenTree::Ident(word) if word == "use" => use_tree(&mut tokens, &[], names),
                TokenTree::Ident(word) => {
                    let mut path = vec![word.to_string()];
                    while two_colons(&mut tokens)
                        && let Some(word) = tokens.next_if(|it| matches!(it, TokenTree::Ident(_)))
                    {
                        path.push(word.to_string());
                    }
                    if path.len() > 1 {
                        names.paths.push(path);
                    }
                }
                _ => {}
            }
        }
    }

    /// The module that defines what `path` means in `module`; none if another crate does.
    pub(super) fn defining(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (mut module, mut path, mut found) = (module.clone(), path.to_vec(), false);
        while !path.is_empty() {
            let first = path.remove(0);
            let child = [&module[..], std::slice::from_ref(&first)].concat();
            match &*first {
                "crate" => module.clear(),
                "self" => {}
                "super" => _ = module.pop(),
                _ if self.0.contains_key(&child) => module = child,
                _ => match self.0[&module].uses.get(&first) {
                    Some(to) if to[0] != first => path = [&to[..], &path].concat(),
                    _ => return found.then_some(module),
                },
            }
            found = true;
        }
        Some(module)
    }
}

fn two_colons(tokens: &mut Tokens) -> bool {
    let mut colon =
        || tokens.next_if(|it| matches!(it, TokenTree::Punct(it) if it.as_char() == ':')).is_some();
    colon() && colon()
}

/// Up to the item's braces or its semicolon.
fn skip_item(tokens: &mut Tokens) {
    tokens.find(|token| match token {
        TokenTree::Group(body) => body.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    });
}

/// What a `use` has up to its `,` or `;`, below `prefix`.
fn use_tree(tokens: &mut Tokens, prefix: &[String], names: &mut Names) {
    let (mut path, mut renamed) = (prefix.to_vec(), None);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                renamed = tokens.next().map(|name| name.to_string());
            }
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let mut each = group.stream().into_iter().peekable();
                while each.peek().is_some() {
                    use_tree(&mut each, &path, names);
                }
                path.clear();
            }
            TokenTree::Punct(mark) if mark.as_char() != ':' && mark.as_char() != '*' => break,
            _ => {}
        }
    }
    if let Some(last) = path.last().cloned() {
        names.paths.push(path.clone());
        names.uses.insert(renamed.unwrap_or(last), path);
    }
}
