//! The item: attributes, visibility and signature parsed, the body kept as tokens, so that a half-typed body never
//! reaches syn.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericArgument, PathArguments, ReturnType, Signature, Type, Visibility};

/// A function item.
pub(crate) struct Item {
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        let (vis, sig) = (input.parse()?, input.parse()?);
        input.parse::<TokenStream>()?;
        Ok(Self { vis, sig })
    }
}

/// What the expansion needs of a signature.
pub(crate) struct Shape {
    pub(crate) event: Option<Type>,
    pub(crate) others: Vec<Type>,
    pub(crate) state: Option<Type>,
    pub(crate) senders: usize,
    pub(crate) tables: usize,
    pub(crate) output: Type,
    /// It takes `self`.
    pub(crate) method: bool,
}

impl Shape {
    pub(crate) fn read(sig: &Signature, errors: &mut Vec<Error>) -> Self {
        if sig.asyncness.is_none() {
            errors.push(Error::new(sig.fn_token.span, "a handler is an `async fn`: write `async fn`"));
        }
        if !sig.generics.params.is_empty() {
            errors.push(Error::new(
                sig.generics.span(),
                "a handler cannot be generic: give it its concrete types",
            ));
        }
        if sig.ident == "http" {
            errors.push(Error::new(
                sig.ident.span(),
                "`http` is the name of the function that carries all HTTP handlers: choose another",
            ));
        }
        let mut types = Vec::new();
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(receiver) => errors.push(Error::new(
                    receiver.self_token.span,
                    "a handler is a free function: what calls share goes into `State<T>`",
                )),
                FnArg::Typed(argument) => types.push((*argument.ty).clone()),
            }
        }
        check_borrows(&types, errors);
        let event = types.first().cloned();
        if event.is_none() && !matches!(sig.inputs.first(), Some(FnArg::Receiver(_))) {
            errors.push(Error::new(
                sig.paren_token.span.join(),
                "a handler's first argument is its event: `Http<T>`, `Queue<T>`, `Topic<T>`, `Object`, `Tick`, `Change<T>`, `CloudEvent` or `Raw`",
            ));
        }
        let others: Vec<Type> = types.into_iter().skip(1).collect();
        let state = state_of(&others, errors);
        let count =
            |name: &str| others.iter().filter(|t| last_segment(t).is_some_and(|s| s.ident == name)).count();
        let (senders, tables) = (count("Sender"), count("Table"));
        let method = sig.receiver().is_some();
        Self { event, state, senders, tables, output: output(sig, errors), others, method }
    }
}

fn check_borrows(types: &[Type], errors: &mut Vec<Error>) {
    for ty in types {
        match ty {
            Type::Reference(reference) => errors
                .push(Error::new(reference.span(), "a handler takes its arguments by value: remove the `&`")),
            Type::ImplTrait(opaque) => {
                errors.push(Error::new(
                    opaque.span(),
                    "a handler's arguments have concrete types, not `impl Trait`",
                ));
            }
            _ => {}
        }
    }
}

fn output(sig: &Signature, errors: &mut Vec<Error>) -> Type {
    match &sig.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, ty) => {
            if let Type::ImplTrait(opaque) = &**ty {
                errors.push(Error::new(
                    opaque.span(),
                    "a handler returns a concrete type, such as `Response`, not `impl Trait`",
                ));
            }
            (**ty).clone()
        }
    }
}

pub(crate) fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The `T` of `State<T>`: an app has one state, so all mentions must agree.
fn state_of(types: &[Type], errors: &mut Vec<Error>) -> Option<Type> {
    let mut found: Option<Type> = None;
    for ty in types {
        let Some(segment) = last_segment(ty).filter(|s| s.ident == "State") else { continue };
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
        let Some(GenericArgument::Type(state)) = arguments.args.first() else { continue };
        match &found {
            Some(first) if quote::quote!(#first).to_string() != quote::quote!(#state).to_string() => {
                errors.push(Error::new(state.span(), "an app has one state: put both into one struct"));
            }
            Some(_) => {}
            None => found = Some(state.clone()),
        }
    }
    found
}
