"use strict";
(() => {
  const PAGE = 200, PRINT_MAX = 2000;
  const VERDICTS = ["warn", "error", "fail"];
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const list = by("findings"), count = by("count"), show = by("show"), none = by("none");
  const fields = { text: by("text"), severity: by("severity"), policy: by("policy"), namespace: by("namespace"), result: by("result") };
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const findings = data.findings.map(([rule, verdict, apiVersion, kind, namespace, name, file, line, message, known, binding, param]) => {
    const where = data.rules[rule], policy = data.policies[where.policy];
    const object = kind + " " + (namespace ? namespace + "/" : "") + name;
    const place = file === null ? "" : data.files[file] + (line ? ":" + line : "");
    const words = [object, policy.name, policy.owner, policy.category, where.rule, message, place].join("\n").toLowerCase();
    return { where, policy, verdict: VERDICTS[verdict], apiVersion, kind, namespace, name, place, message, known, binding, param, words };
  });
  const options = (select, values) => {
    for (const [value, text] of values) {
      const option = element("option", "", text);
      option.value = value;
      select.append(option);
    }
  };
  const counted = (key) => {
    const counts = new Map();
    for (const finding of findings) counts.set(key(finding), (counts.get(key(finding)) || 0) + 1);
    return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  };
  options(fields.policy, counted((f) => f.policy.name).map(([name, n]) => [name, `${name} (${n})`]));
  options(fields.namespace, counted((f) => f.namespace).map(([name, n]) => [name || "-", `${name || "(no namespace)"} (${n})`]));
  const more = (finding) => {
    const { where, policy } = finding;
    const box = element("div", "more");
    if (policy.description) box.append(element("h3", "", "How to mend it"), element("p", "", policy.description));
    if (where.expression) {
      const at = where.file ? ` in ${where.file}${where.line ? ":" + where.line : ""}` : "";
      box.append(element("h3", "", `${where.rule}${at}`), element("pre", "", where.expression));
    }
    const facts = element("dl");
    const rows = [["Object", `${finding.apiVersion} ${finding.kind} ${finding.name}`], ["File", finding.place], ["Policy", `${policy.kind} ${policy.name}`],
      ["Category", policy.category], ["Owner", policy.owner], ["Binding", finding.binding], ["Param", finding.param], ["Known", finding.known ? "yes, by the baseline" : ""]];
    for (const [term, value] of rows) if (value) facts.append(element("dt", "", term), element("dd", "", value));
    box.append(facts);
    return box;
  };
  const row = (finding) => {
    const item = element("details", `finding ${finding.policy.severity}`);
    const line = element("summary");
    const badge = element("span", "badge", finding.policy.severity);
    badge.append(element("i", "", finding.known ? `${finding.verdict}, known` : finding.verdict));
    const object = element("span", "object", finding.name || "(no name)");
    object.append(element("i", "", finding.kind + (finding.namespace ? " in " + finding.namespace : "")), element("i", "", finding.place));
    const policy = element("span", "policy", finding.policy.name);
    policy.append(element("i", "", finding.policy.category || ""));
    line.append(badge, object, policy, element("span", "why", finding.message));
    item.append(line);
    item.addEventListener("toggle", () => { if (item.open && item.childElementCount === 1) item.append(more(finding)); });
    return item;
  };
  let matching = [], shown = 0;
  const grow = (size) => {
    const part = document.createDocumentFragment();
    for (const finding of matching.slice(shown, shown + size)) part.append(row(finding));
    shown = Math.min(shown + size, matching.length);
    list.append(part);
    show.hidden = shown >= matching.length;
    show.textContent = `Show ${Math.min(PAGE, matching.length - shown)} more of ${matching.length - shown}`;
  };
  const filter = () => {
    const words = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = findings.filter((f) =>
      (!fields.severity.value || f.policy.severity === fields.severity.value) &&
      (!fields.policy.value || f.policy.name === fields.policy.value) &&
      (!fields.namespace.value || (f.namespace || "-") === fields.namespace.value) &&
      (!fields.result.value || (fields.result.value === "new" ? !f.known : f.verdict === fields.result.value)) &&
      words.every((word) => f.words.includes(word)));
    list.replaceChildren();
    shown = 0;
    grow(PAGE);
    count.textContent = `${matching.length} of ${findings.length} findings`;
    none.hidden = matching.length > 0;
  };
  const remember = () => {
    const chosen = new URLSearchParams();
    for (const [name, field] of Object.entries(fields)) if (field.value) chosen.set(name, field.value);
    try { history.replaceState(null, "", chosen.size ? "#" + chosen : location.pathname); } catch { /* A page in a frame may not. */ }
  };
  const recall = () => {
    const chosen = new URLSearchParams(location.hash.slice(1));
    for (const [name, field] of Object.entries(fields)) field.value = chosen.get(name) || "";
    filter();
  };
  for (const field of Object.values(fields)) field.addEventListener("input", () => { filter(); remember(); });
  by("clear").addEventListener("click", () => { for (const field of Object.values(fields)) field.value = ""; filter(); remember(); });
  show.addEventListener("click", () => grow(PAGE));
  by("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  addEventListener("hashchange", recall);
  addEventListener("beforeprint", () => grow(Math.max(0, PRINT_MAX - shown)));
  by("filters").hidden = false;
  recall();
})();
