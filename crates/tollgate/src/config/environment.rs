//! The environment's layer. `TOLLGATE_…` belongs to Tollgate: a name that it does not know is a mistake.

use super::layers::Layer;
use super::problem::{ConfigProblem, Origin, most_like};
use super::setting;

pub const PREFIX: &str = "TOLLGATE_";
/// The platform administrator's token. Not a setting: a secret has no place in a file or among the flags.
pub const ADMIN_TOKEN: &str = "TOLLGATE_ADMIN_TOKEN";
/// Signs tokens in place of keys of Tollgate's own. Well known, so without Tollgate's prefix.
pub const JWT_SECRET: &str = "JWT_SECRET";
/// Where the command line finds the admin API.
pub const ADMIN_URL: &str = "TOLLGATE_ADMIN_URL";
/// As `--admin-ca-file`, `--admin-cert` and `--admin-key`.
pub const ADMIN_CA_FILE: &str = "TOLLGATE_ADMIN_CA_FILE";
pub const ADMIN_CERT: &str = "TOLLGATE_ADMIN_CERT";
pub const ADMIN_KEY: &str = "TOLLGATE_ADMIN_KEY";
/// As `--config`.
pub const CONFIG: &str = "TOLLGATE_CONFIG";

/// What a proxy node presents to its control plane. Not a setting, for the same reason.
pub const NODE_TOKEN: &str = "TOLLGATE_NODE_TOKEN";

/// Names that belong to Tollgate and are no settings.
const OTHERS: [&str; 7] = [ADMIN_TOKEN, ADMIN_URL, ADMIN_CA_FILE, ADMIN_CERT, ADMIN_KEY, CONFIG, NODE_TOKEN];

/// Reads every setting among the variables, and notes every unknown name that starts with `TOLLGATE_`.
pub fn read(variables: &[(String, String)], layer: &mut Layer, problems: &mut Vec<ConfigProblem>) {
    let mut unknown: Vec<&str> = Vec::new();
    for (name, value) in variables {
        if let Some(setting) = setting::ALL.iter().find(|setting| setting.variable() == *name) {
            layer.set_plain(setting, value, Origin::Variable(name.clone()));
        } else if name.starts_with(PREFIX)
            && !OTHERS.contains(&name.as_str())
            && !is_service_link(name, value)
        {
            unknown.push(name);
        }
    }
    // What other programs know as well yields to Tollgate's own name.
    for setting in setting::ALL {
        let Some(well_known) = setting.well_known_variable else { continue };
        let Some((name, value)) = variables.iter().find(|(name, _)| name == well_known) else { continue };
        if !layer.has(setting) {
            layer.set_plain(setting, value, Origin::Variable(name.clone()));
        }
    }
    unknown.sort_unstable();
    problems.extend(unknown.into_iter().map(refuse));
}

/// Notes every variable of Tollgate's, and every well-known one, whose value is not text: passed over, it would
/// silently leave a default in force.
pub fn refuse_unreadable(names: &[String], problems: &mut Vec<ConfigProblem>) {
    let is_read = |name: &str| {
        name.starts_with(PREFIX)
            || name == JWT_SECRET
            || setting::ALL.iter().any(|setting| setting.well_known_variable == Some(name))
    };
    problems.extend(names.iter().filter(|name| is_read(name)).map(|name| ConfigProblem {
        origin: Origin::Variable(name.clone()),
        key: String::new(),
        message: "must be text (UTF-8)".to_owned(),
    }));
}

/// Kubernetes tells every pod where its neighbours are: `TOLLGATE_ADMIN_SERVICE_HOST`, `TOLLGATE_PORT_80_TCP_ADDR`
/// and more, wherever a service is called `tollgate…`.
fn is_service_link(name: &str, value: &str) -> bool {
    let names_a_transport = |rest: &str| {
        let rest = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        ["_TCP", "_UDP", "_SCTP"].iter().any(|transport| rest.starts_with(transport))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| names_a_transport(rest))
        || (name.ends_with("_PORT") && value.contains("://"))
}

fn refuse(name: &str) -> ConfigProblem {
    let variables: Vec<String> = setting::ALL.iter().map(|setting| setting.variable()).collect();
    let known = variables.iter().map(String::as_str).chain(OTHERS);
    let message = most_like(name, known).map_or_else(
        || "is not a setting; docs/configuration.md lists them".to_owned(),
        |meant| format!("is not a setting; did you mean {meant}?"),
    );
    ConfigProblem { origin: Origin::Variable(name.to_owned()), key: String::new(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let (mut layer, mut problems) = (Layer::default(), Vec::new());
        read(&variables, &mut layer, &mut problems);
        problems.iter().map(ConfigProblem::to_string).collect()
    }

    #[test]
    fn a_mistyped_name_is_a_problem() {
        assert_eq!(
            problems(&[
                ("TOLLGATE_PROXY_LISTEN", "127.0.0.1:1"),
                ("TOLLGATE_NONSENSE", "1"),
                ("TOLLGATE_PORT", "8080"),
                ("OTHER_THING", "1")
            ]),
            [
                "TOLLGATE_NONSENSE is not a setting; docs/configuration.md lists them",
                "TOLLGATE_PORT is not a setting; docs/configuration.md lists them",
                "TOLLGATE_PROXY_LISTEN is not a setting; did you mean TOLLGATE_PROXY__LISTEN?",
            ]
        );
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_called_tollgate_is_no_setting() {
        let links = [
            ("TOLLGATE_SERVICE_HOST", "10.0.0.1"),
            ("TOLLGATE_SERVICE_PORT", "8080"),
            ("TOLLGATE_SERVICE_PORT_HTTP", "8080"),
            ("TOLLGATE_PORT", "tcp://10.0.0.1:8080"),
            ("TOLLGATE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("TOLLGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TOLLGATE_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ];
        assert_eq!(problems(&links), Vec::<String>::new());
    }

    #[test]
    fn the_names_of_the_command_line_are_no_mistakes() {
        assert_eq!(problems(&OTHERS.map(|name| (name, "x"))), Vec::<String>::new());
    }
}
