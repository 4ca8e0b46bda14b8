// Source for the rules and their texts: kubernetes/apimachinery pkg/util/validation/validation.go

const dnsLabel = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const dnsSubdomain = `${dnsLabel}(\\.${dnsLabel})*`;
const dns1035Label = "[a-z]([-a-z0-9]*[a-z0-9])?";
const qualifiedName = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const labelValue = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/** Each of these returns what is wrong with `value`, in the real server's words; empty when nothing is. */
export type NameRule = (value: string) => string[];

/** RFC 1123 label, at most 63 characters: namespaces, containers. */
export const checkDNSLabel: NameRule = rule({
  pattern: dnsLabel,
  max: 63,
  text: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  examples: ["my-name", "123-abc"],
});

/** RFC 1123 subdomain, at most 253 characters: pods, nodes, most names. */
export const checkDNSSubdomain: NameRule = rule({
  pattern: dnsSubdomain,
  max: 253,
  text: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  examples: ["example.com"],
});

/** RFC 1035 label: services. */
export const checkDNS1035Label: NameRule = rule({
  pattern: dns1035Label,
  max: 63,
  text: "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  examples: ["my-name", "abc-123"],
});

/** What may be one segment of a path: roles and their bindings. */
export const checkPathSegment: NameRule = (value) => {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  return ["/", "%"].filter((part) => value.includes(part)).map((part) => `may not contain '${part}'`);
};

export const checkLabelValue: NameRule = rule({
  pattern: labelValue,
  max: 63,
  text: "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  examples: ["MyValue", "my_value", "12345"],
});

const checkNamePart = rule({
  pattern: qualifiedName,
  max: 63,
  text: "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  examples: ["MyName", "my.name", "123-abc"],
});

/** `name` or `prefix/name`: keys of labels and annotations. */
export const checkQualifiedName: NameRule = (value) => {
  const parts = value.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2) {
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  }
  if (second === undefined)
    return first === "" ? ["name part must be non-empty", ...checkNamePart(first)] : checkNamePart(first);
  const prefix =
    first === "" ? ["prefix part must be non-empty"] : checkDNSSubdomain(first).map((text) => `prefix part ${text}`);
  return [...prefix, ...(second === "" ? ["name part must be non-empty"] : []), ...checkNamePart(second)];
};

export const isQualifiedName = (value: string): boolean => checkQualifiedName(value).length === 0;
export const isLabelValue = (value: string): boolean => checkLabelValue(value).length === 0;

function rule(options: { pattern: string; max: number; text: string; examples: string[] }): NameRule {
  const { pattern, max, text, examples } = options;
  const expression = new RegExp(`^${pattern}$`);
  const shown = examples.map((example) => `'${example}'`).join(",  or ");
  return (value) => [
    ...(value.length > max ? [`must be no more than ${max} characters`] : []),
    ...(expression.test(value) ? [] : [`${text} (e.g. ${shown}, regex used for validation is '${pattern}')`]),
  ];
}
