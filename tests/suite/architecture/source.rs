//! Reads the crate's sources: follows every `mod`, and notes each path that code mentions and where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path from the crate's root (`model::ids`), or a foreign one (`std::time`), as its names.
pub type Names = Vec<String>;

/// Code names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Counts from 1.
    pub line: usize,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// In this crate, from its root. Empty: the root itself (`use crate::*`).
    Ours(Names),
    /// By another beginning: another crate, or something in scope already.
    Other(Names),
    /// An `async` function or block; without one nothing awaits.
    Async,
    Unsafe,
}

/// One source file.
#[derive(Debug)]
pub struct File {
    /// Relative to the crate: `src/model/ids.rs`.
    pub path: String,
    /// `["model", "ids"]`; the binary's is `["main"]`, the library's root has none.
    pub module: Names,
    /// It, or a module that it is in, is there for tests alone.
    pub test: bool,
    pub lines: usize,
    /// It begins with `//!`.
    pub has_doc: bool,
    /// What code that is not test code mentions.
    pub mentions: Vec<Mention>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Tree {
    pub files: Vec<File>,
    on_disk: BTreeSet<String>,
}

impl Tree {
    /// Parsed once for all tests.
    pub fn of_this_crate() -> &'static Self {
        static TREE: std::sync::OnceLock<Tree> = std::sync::OnceLock::new();
        TREE.get_or_init(|| Self::read(Path::new(env!("CARGO_MANIFEST_DIR"))))
    }

    /// Reads the crate in `root`.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.follow(root, "src/lib.rs", &[], false);
        tree.follow(root, "src/main.rs", &["main".to_owned()], false);
        list(root, &root.join("src"), &mut tree.on_disk);
        tree
    }

    fn follow(&mut self, root: &Path, path: &str, module: &[String], test: bool) {
        let text = text_of(&root.join(path));
        let read = Reading::of(path, module, &text);
        for child in &read.children {
            let found = child.candidates.iter().find(|file| root.join(file).is_file());
            let file = found.unwrap_or_else(|| panic!("{path}: no file for module {:?}", child.module));
            self.follow(root, file, &child.module, test || child.test);
        }
        self.files.push(File {
            path: path.to_owned(),
            module: module.to_vec(),
            test,
            lines: text.lines().count(),
            has_doc: text.starts_with("//!"),
            mentions: read.mentions,
        });
    }

    /// Files that are not test code.
    pub fn product(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !file.test)
    }

    /// Files below `src/` that no `mod` leads to.
    pub fn strays(&self) -> impl Iterator<Item = &str> {
        let known: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        self.on_disk.iter().map(String::as_str).filter(move |path| !known.contains(path))
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads the sources; sys::files belongs to the product")]
fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

fn list(root: &Path, folder: &Path, into: &mut BTreeSet<String>) {
    for entry in folder.read_dir().expect("src is there").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            list(root, &entry, into);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            into.insert(entry.strip_prefix(root).expect("below the root").to_string_lossy().into_owned());
        }
    }
}

/// `mod child;`
#[derive(Debug)]
pub struct Child {
    pub module: Names,
    pub test: bool,
    candidates: Vec<String>,
}

/// One file, read.
#[derive(Debug)]
pub struct Reading {
    /// Where we are: the file's module and the inline ones round the present place.
    module: Names,
    /// Where this file's `mod child;` are looked for.
    folder: PathBuf,
    /// The folder that this file is in: what `#[path]` is relative to.
    beside: PathBuf,
    pub children: Vec<Child>,
    pub mentions: Vec<Mention>,
}

impl Reading {
    /// Reads `text`, which stands in `path` and is `module`.
    pub fn of(path: &str, module: &[String], text: &str) -> Self {
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line));
        let path = Path::new(path);
        let is_root = path.file_name().is_some_and(|name| name == "lib.rs" || name == "main.rs" || name == "mod.rs");
        let folder = if is_root { path.with_file_name("") } else { path.with_extension("") };
        let beside = path.with_file_name("");
        let mut reading = Self { module: module.to_vec(), folder, beside, children: Vec::new(), mentions: Vec::new() };
        reading.visit_file(&parsed);
        reading
    }

    fn declared(&mut self, item: &syn::ItemMod) {
        let name = item.ident.to_string();
        let folder = self.folder.clone();
        let file = |end: String| folder.join(end).to_string_lossy().into_owned();
        let candidates = match path_attribute(&item.attrs) {
            Some(path) => vec![self.beside.join(path).to_string_lossy().into_owned()],
            None => vec![file(format!("{name}.rs")), file(format!("{name}/mod.rs"))],
        };
        let module = self.module.iter().cloned().chain([name]).collect();
        self.children.push(Child { module, test: is_test(&item.attrs), candidates });
    }

    fn mention(&mut self, span: Span, names: &[String]) {
        let what = match self.resolve(names) {
            Some(ours) => What::Ours(ours),
            None => What::Other(names.to_vec()),
        };
        self.mentions.push(Mention { line: span.start().line, what });
    }

    /// From the crate's root, where the names begin with a word for it.
    fn resolve(&self, names: &[String]) -> Option<Names> {
        let mut at = match names.first()?.as_str() {
            "crate" => Names::new(),
            // The library, as the binary sees it.
            "runbook" if self.module.first().is_some_and(|m| m == "main") => Names::new(),
            "self" | "super" => self.module.clone(),
            _ => return None,
        };
        for (i, name) in names.iter().enumerate() {
            match name.as_str() {
                "super" => drop(at.pop()),
                "self" => {}
                _ if i == 0 => {}
                name => at.push(name.to_owned()),
            }
        }
        Some(at)
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &Names) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Names>();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.mention(name.ident.span(), &with(&name.ident)),
            syn::UseTree::Rename(rename) => self.mention(rename.ident.span(), &with(&rename.ident)),
            syn::UseTree::Glob(glob) => self.mention(glob.star_token.spans[0], before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, before)),
        }
    }

    /// What no parser has looked into, a macro's arguments and attributes: finds `a::b::c` in them,
    /// and in an attribute's strings.
    fn tokens(&mut self, tokens: TokenStream, strings: bool) {
        let mut names: Vec<(Span, String)> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !names.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(&mut names);
                    }
                    names.push((ident.span(), ident.to_string()));
                    colons = 0;
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream(), strings),
                TokenTree::Literal(literal) if strings => self.literal(&literal),
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            self.flush(&mut names);
            colons = 0;
        }
        self.flush(&mut names);
    }

    fn flush(&mut self, names: &mut Vec<(Span, String)>) {
        if names.len() > 1 {
            let span = names[0].0;
            let path: Names = names.drain(..).map(|(_, name)| name).collect();
            self.mention(span, &path);
        }
        names.clear();
    }

    /// `#[serde(with = "crate::model::x")]` is an arrow too.
    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let path = text.trim_matches('"');
        let is_path = path.contains("::") && path.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if is_path {
            let names: Names = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            self.mention(literal.span(), &names);
        }
    }
}

impl<'ast> Visit<'ast> for Reading {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if let syn::Item::Mod(module) = item
            && module.content.is_none()
        {
            self.declared(module);
        } else if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let test = matches!(item, syn::ImplItem::Fn(function) if is_test(&function.attrs));
        if !test {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        self.folder.push(&name);
        self.module.push(name);
        visit::visit_item_mod(self, item);
        self.module.pop();
        self.folder.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &Names::new());
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.mention(item.ident.span(), &[item.ident.to_string()]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(path.segments[0].ident.span(), &names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // A link in a comment is no arrow.
        if attribute.path().is_ident("doc") {
            return;
        }
        self.visit_path(attribute.path());
        match &attribute.meta {
            syn::Meta::List(list) => self.tokens(list.tokens.clone(), true),
            syn::Meta::NameValue(pair) => self.visit_expr(&pair.value),
            syn::Meta::Path(_) => {}
        }
    }

    /// `pub(in crate::engine)` says who may see, it does not look.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.mentions.push(Mention { line: word.span.start().line, what: What::Async });
        }
        if let Some(word) = &signature.unsafety {
            self.mentions.push(Mention { line: word.span.start().line, what: What::Unsafe });
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.mentions.push(Mention { line: block.async_token.span.start().line, what: What::Async });
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.mentions.push(Mention { line: block.unsafe_token.span.start().line, what: What::Unsafe });
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(word) = &item.unsafety {
            self.mentions.push(Mention { line: word.span.start().line, what: What::Unsafe });
        }
        visit::visit_item_impl(self, item);
    }
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
        Some(text.value())
    })
}

/// Whether it is built for tests alone: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
