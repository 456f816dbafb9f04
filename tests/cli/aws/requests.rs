//! What ministack takes and does not follow (shares of an alias, who may call a URL) is judged by what was sent: every request
//! of a deployment's life, held against AWS's own models of its services as botocore has them.

use serde_json::{Value, json};
use xcloud_tests::tools;

use super::Cloud;
use crate::aws_faults::proxy::Proxy;
use crate::root;

/// Which operation each request is, its parameters by AWS's names, and what is wrong with them.
const MODELS: &str = r#"
import botocore.session, json, re, sys, urllib.parse
from botocore.validate import ParamValidator
session = botocore.session.get_session()
models = [session.get_service_model(name) for name in ("dynamodb", "lambda", "logs", "resourcegroupstaggingapi", "scheduler", "sqs")]
def template(operation):
    uri = re.escape(operation.http["requestUri"].split("?")[0]).replace(r"\{", "{").replace(r"\}", "}").replace(r"\+", "+")
    return re.compile(re.sub(r"{(\w+)\+?}", r"(?P<\1>[^/]+)", uri) + "/?$")
rest = [(m, o, o.http["method"], template(o)) for m in models if m.metadata["protocol"] == "rest-json" for o in map(m.operation_model, m.operation_names)]
def typed(shape, text):
    return {"integer": int, "long": int, "boolean": lambda t: t == "true"}.get(shape.type_name, str)(text)
def read(head, body):
    line, *headers = head.split("\r\n")
    method, target, _ = line.split(" ")
    headers = dict(h.split(": ", 1) for h in headers)
    prefix, _, name = headers.get("x-amz-target", "").partition(".")
    for model in models:
        if prefix and model.metadata.get("targetPrefix") == prefix:
            return model, model.operation_model(name), json.loads(body or "{}")
    path, _, query = target.partition("?")
    for model, operation, verb, form in rest:
        found = form.match(path) if verb == method else None
        if not found or operation.input_shape is None:
            continue
        places = {"uri": found.groupdict(), "querystring": dict(urllib.parse.parse_qsl(query))}
        rest_of = json.loads(body or "{}")
        params = {}
        for member, shape in operation.input_shape.members.items():
            said = shape.serialization.get("name", member)
            place = places.get(shape.serialization.get("location"))
            if place is None and said in rest_of:
                params[member] = rest_of.pop(said)
            elif place and said in place:
                params[member] = typed(shape, urllib.parse.unquote(place.pop(said)))
        unknown = [*rest_of, *places["querystring"]]
        return model, operation, {**params, **{name: "?" for name in unknown}}
    return None
seen = []
for head, body in json.load(sys.stdin)["requests"]:
    found = read(head, body)
    if found:
        model, operation, params = found
        report = ParamValidator().validate(params, operation.input_shape)
        params.pop("Code", None), params.pop("ZipFile", None)
        seen.append({"service": model.service_name, "operation": operation.name, "params": params, "wrong": report.generate_report()})
print(json.dumps(seen))
"#;

/// A first deployment, a version that is tried and promoted, and the end.
fn life(cloud: &Cloud, proxy: &Proxy) {
    let run = |arguments: &[&str]| {
        let mut command = cloud.command();
        command.env("AWS_ENDPOINT_URL", proxy.address()).args(["-C", "examples/orders", "-p", "aws"]);
        let output = command.args(arguments).output().expect("xcloud starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let text =
        std::fs::read_to_string(root().join("examples/orders/xcloud.toml")).expect("the example's file");
    let file = cloud.home.join("next.toml");
    let next =
        text.replace("public = true", "public = true\nmax_instances = 3\nenv = { GREETING = \"hello\" }");
    std::fs::write(&file, next).expect("a file");
    let file = file.display().to_string();
    run(&["deploy"]);
    run(&["--config", &file, "deploy", "--no-build", "--no-traffic"]);
    run(&["traffic", "http", "v2=10"]);
    run(&["traffic", "--promote"]);
    run(&["rollback"]);
    run(&["destroy", "--yes", "--delete-data"]);
}

#[test]
fn what_is_sent_is_as_awss_models_say() {
    let Some(cloud) = Cloud::start("aws-requests") else { return };
    let proxy = Proxy::start(&cloud.ministack.endpoint());
    life(&cloud, &proxy);
    // One that is wrong, to see that it is found: a number for a text, and a member that there is not.
    let wrong = "PUT /2015-03-31/functions/nobodys/aliases/live HTTP/1.1\r\nhost: test".to_owned();
    let wrong = (wrong, json!({ "FunctionVersion": 7, "Weights": {} }).to_string());
    let all = [proxy.requests(), vec![wrong]].concat();
    let given = json!({ "requests": all });
    let seen =
        tools::script(cloud.ministack.programs(), MODELS, &given).unwrap_or_else(|why| panic!("{why}"));
    let seen = seen.as_array().expect("a list");
    let wrong: Vec<_> = seen.iter().filter(|call| call["wrong"] != "").collect();
    assert!(wrong.len() == 1 && wrong[0]["params"]["FunctionName"] == "nobodys", "{wrong:#?}");
    let found = wrong[0]["wrong"].as_str().unwrap_or_default();
    assert!(found.contains("FunctionVersion") && found.contains("Weights"), "{found}");

    let of = |operation: &str| -> Vec<&Value> {
        seen.iter().filter(|call| call["operation"] == operation).map(|call| &call["params"]).collect()
    };
    for operation in
        ["CreateFunction", "PublishVersion", "CreateEventSourceMapping", "CreateQueue", "PutRetentionPolicy"]
    {
        assert!(!of(operation).is_empty(), "{operation} was not seen");
    }
    // Everybody may call the URL: two statements, for who comes by it alone.
    let allowed: Vec<_> = of("AddPermission")
        .iter()
        .map(|p| {
            json!([
                p["FunctionName"],
                p["Qualifier"],
                p["Action"],
                p["Principal"],
                p["FunctionUrlAuthType"],
                p["InvokedViaFunctionUrl"]
            ])
        })
        .collect();
    assert_eq!(
        allowed,
        [
            json!(["shop-dev-http", "live", "lambda:InvokeFunctionUrl", "*", "NONE", null]),
            json!(["shop-dev-http", "live", "lambda:InvokeFunction", "*", null, true]),
        ]
    );
    // A tenth of the calls, then all of them, then all of them back.
    let moved: Vec<_> = of("UpdateAlias")
        .iter()
        .filter(|p| p["FunctionName"] == "shop-dev-http")
        .map(|p| json!([p["Name"], p["FunctionVersion"], p["RoutingConfig"]["AdditionalVersionWeights"]]))
        .collect();
    assert_eq!(
        moved,
        [json!(["live", "1", { "2": 0.1 }]), json!(["live", "2", {}]), json!(["live", "1", {}])]
    );
}
