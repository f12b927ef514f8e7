//! Which resources serve the same objects, by discovery: every version of a resource within its group, and events, which
//! two groups serve. The API server knows more by storage, and does not tell.

use crate::policy::matching::{Equivalent, Equivalents};

/// The core group's name for events, and the newer one.
const EVENT_GROUPS: [&str; 2] = ["", "events.k8s.io"];

/// The resources that are served in more than one way.
pub(in crate::controller::cluster) fn table(rows: &[Equivalent]) -> Equivalents {
    let is_event =
        |row: &Equivalent| row.resource == "events" && EVENT_GROUPS.contains(&row.group.as_str());
    let same = |a: &Equivalent, b: &Equivalent| {
        a.resource == b.resource && (a.group == b.group || (is_event(a) && is_event(b)))
    };
    let sets = rows.chunk_by(same).filter(|set| {
        set.iter().any(|row| {
            set.first()
                .is_some_and(|first| (&first.group, &first.version) != (&row.group, &row.version))
        })
    });
    Equivalents::new(sets.map(<[Equivalent]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use crate::controller::cluster::equivalents::table;
    use crate::policy::matching::Equivalent;
    use crate::policy::request::Resource;

    fn row(text: &str) -> Equivalent {
        let parts: Vec<&str> = text.split('/').collect();
        let subresource = parts.get(3).copied().unwrap_or("").to_owned();
        let [group, version, resource] = [parts[0], parts[1], parts[2]].map(str::to_owned);
        let kind = (group.clone(), version.clone(), "Kind".to_owned());
        Equivalent { group, version, resource, subresource, kind }
    }

    #[test]
    fn versions_of_a_resource_serve_the_same_objects() {
        let rows = [
            "/v1/events",
            "events.k8s.io/v1/events",
            "autoscaling/v1/hpas",
            "autoscaling/v1/hpas/status",
            "autoscaling/v2/hpas",
            "autoscaling/v2/hpas/status",
            "apps/v1/nodes",
            "/v1/nodes",
            "/v1/pods",
            "/v1/pods/log",
        ]
        .map(row);
        let table = table(&rows);
        let check = |text: &str, expect: &[&str]| {
            let Equivalent { group, version, resource, subresource, .. } = &row(text);
            let of: Vec<String> = table
                .of(Resource { group, version, resource }, subresource)
                .map(|(r, _)| format!("{}/{}/{}", r.group, r.version, r.resource))
                .collect();
            assert_eq!(of, expect, "{text}");
        };
        check("autoscaling/v1/hpas", &["autoscaling/v1/hpas", "autoscaling/v2/hpas"]);
        check("autoscaling/v2/hpas/status", &["autoscaling/v1/hpas", "autoscaling/v2/hpas"]);
        check("/v1/events", &["/v1/events", "events.k8s.io/v1/events"]);
        check("/v1/pods", &[]);
        check("/v1/pods/log", &[]);
        check("/v1/nodes", &[]);
    }
}
