//! Attribute and signature to tokens: the item as it was, a descriptor, and checks placed on the user's own tokens.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, Type};

use crate::args::{Args, EVENTS, Trigger};
use crate::signature::{Item, Shape, last_segment};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut args = Args::parse(attribute);
    let mut errors = std::mem::take(&mut args.errors);
    let addition = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => {
            let shape = Shape::read(&parsed.sig, &mut errors);
            check_kind(&args, &shape, &mut errors);
            check_names(&args, &shape, &mut errors);
            let sound = errors.is_empty();
            // In an impl block no struct may stand beside it.
            if shape.method { TokenStream::new() } else { descriptor(&parsed, &args, &shape, sound) }
        }
        Err(_) => {
            errors.push(Error::new(Span::call_site(), "`#[handler]` goes on an `async fn`"));
            TokenStream::new()
        }
    };
    let errors = errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    });
    let errors = errors.map(|e| e.to_compile_error());
    // The item always stays, so that one mistake does not make its name unknown everywhere else.
    quote!(#item #addition #errors)
}

/// One name for each argument that takes one.
fn check_names(args: &Args, shape: &Shape, errors: &mut Vec<Error>) {
    let sends = (args.sends.len(), shape.senders, args.sends_span);
    let tables = (args.tables.len(), shape.tables, args.tables_span);
    for (key, ty, what, (names, arguments, span)) in
        [("sends", "Sender", "its queue's", sends), ("tables", "Table", "its", tables)]
    {
        let message = match (names, arguments) {
            (names, arguments) if names == arguments || args.unread.contains(&key) => continue,
            (0, _) => format!("a `{ty}` argument needs {what} name: add `{key} = \"name\"`"),
            (_, 0) if key == "sends" => "`sends` needs a `Sender<T>` argument to send with".to_owned(),
            (_, 0) => format!("`{key}` needs a `{ty}<T>` argument to read and write with"),
            _ => format!(
                "`{key}` names {names} and the fn takes {arguments} `{ty}` arguments: one name for each, in order"
            ),
        };
        errors.push(Error::new(span.unwrap_or_else(Span::call_site), message));
    }
}

fn descriptor(item: &Item, args: &Args, shape: &Shape, sound: bool) -> TokenStream {
    let (vis, name) = (&item.vis, &item.sig.ident);
    let doc = format!("The handler [`{name}`], for `xcloud::functions![…]`.");
    let ty = quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #vis struct #name {}
    };
    let (Some(event), true) = (&shape.event, sound) else { return ty };
    let implementation = implementation(item, args, shape, event);
    quote! {
        #ty
        #implementation
    }
}

fn implementation(item: &Item, args: &Args, shape: &Shape, event: &Type) -> TokenStream {
    let name = &item.sig.ident;
    let text = name.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let trigger = match &args.trigger {
        Some((Trigger::Http { method, path }, _)) => {
            let method = option(method.as_ref());
            quote!(Http { method: #method, path: #path })
        }
        Some((Trigger::Queue { queue }, _)) => {
            let batch = option(args.batch.as_ref());
            quote!(Queue { queue: #queue, batch: #batch })
        }
        Some((Trigger::Object { bucket }, _)) => {
            let on = args.on.clone().unwrap_or_else(|| format_ident!("Created"));
            quote!(Object { bucket: #bucket, on: ::xcloud::__private::ObjectFilter::#on })
        }
        Some((Trigger::Schedule { schedule }, _)) => {
            let timezone = option(args.timezone.as_ref());
            quote!(Schedule { schedule: #schedule, timezone: #timezone })
        }
        Some((Trigger::Change { table }, _)) => quote!(Change { table: #table }),
        Some((Trigger::Topic { topic }, _)) => quote!(Topic { topic: #topic }),
        Some((Trigger::Event, _)) => quote!(Event),
        Some((Trigger::Raw, _)) | None => quote!(Raw),
    };
    let (sends, tables) = (&args.sends, &args.tables);
    let (unit, arguments, output) = (of_unit(event), arguments(shape), &shape.output);
    let names: Vec<Ident> = (0..shape.others.len()).map(|i| format_ident!("a{i}")).collect();
    let (generics, state) = match &shape.state {
        Some(state) => (quote!(), quote!(#state)),
        None => (quote!(<S: ::core::marker::Send + ::core::marker::Sync + 'static>), quote!(S)),
    };
    quote! {
        impl #generics ::xcloud::__private::Function<#state> for #name {
            const DESCRIPTOR: ::xcloud::__private::Descriptor = ::xcloud::__private::Descriptor {
                name: #text,
                trigger: ::xcloud::__private::Trigger::#trigger,
                sends: &[#(#sends),*],
                tables: &[#(#tables),*],
            };
            type Answer = <#unit as ::xcloud::__private::Event>::Output;
            type Event = #event;
            type Args = #arguments;
            type Return = #output;

            fn invoke(
                event: Self::Event,
                (#(#names,)*): Self::Args,
            ) -> impl ::core::future::Future<Output = Self::Return> + ::core::marker::Send {
                #name(event #(, #names)*)
            }
        }
    }
}

fn option<T: quote::ToTokens>(value: Option<&T>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// The type with `()` for what it is generic over, `Http<()>` for `Http<Order>`: of the same kind, and sound even when
/// `Order` cannot be read.
fn of_unit(event: &Type) -> Type {
    let mut unit = event.clone();
    if let Type::Path(path) = &mut unit
        && let Some(segment) = path.path.segments.last_mut()
        && !segment.arguments.is_empty()
    {
        segment.arguments = syn::PathArguments::AngleBracketed(syn::parse_quote!(<()>));
    }
    unit
}

/// The other arguments as one tuple. Its span is where the compiler shows an argument that is none: at the first whose
/// name is not one of ours.
fn arguments(shape: &Shape) -> TokenStream {
    const OURS: [&str; 4] = ["Context", "Sender", "State", "Table"];
    let others = &shape.others;
    let foreign =
        |ty: &&Type| !last_segment(ty).is_some_and(|s| OURS.contains(&s.ident.to_string().as_str()));
    let shown = others.iter().find(foreign).or(others.first());
    let span = shown.map_or_else(Span::call_site, Spanned::span);
    quote_spanned!(span=> (#(#others,)*))
}

/// A kind that does not match the event's type, where the type is spelled out; core checks the rest when the
/// function is registered.
fn check_kind(args: &Args, shape: &Shape, errors: &mut Vec<Error>) {
    let (Some((trigger, span)), Some(event)) = (&args.trigger, &shape.event) else { return };
    let Some(name) = last_segment(event).map(|s| s.ident.to_string()) else { return };
    let (key, fits) = trigger.words();
    if name != fits && EVENTS.contains(&name.as_str()) {
        let message = format!(
            "`{key}` does not go with the event `{name}`: take `{fits}`, or name a trigger for `{name}`"
        );
        errors.push(Error::new(*span, message));
    }
}
