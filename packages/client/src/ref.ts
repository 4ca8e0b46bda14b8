/** Where an object, or a collection of them, lives in the API. */
export interface ResourceRef {
  /** Default `v1`. */
  apiVersion?: string;
  /** Plural and lower case, as in a path: `pods`. */
  resource: string;
  namespace?: string;
  name?: string;
  subresource?: string;
}

/** The request path of a ref, each segment escaped: `/api/v1/namespaces/default/pods/web/log`. */
export function pathOf({ apiVersion = "v1", resource, namespace, name, subresource }: ResourceRef): string {
  const segments = apiVersion.includes("/") ? ["apis", ...apiVersion.split("/")] : ["api", apiVersion];
  if (namespace) segments.push("namespaces", namespace);
  segments.push(resource);
  if (name) segments.push(checked(name));
  if (subresource) segments.push(...subresource.split("/"));
  return `/${segments.map(escapeSegment).join("/")}`;
}

/** `a ref with a name`, or an error: a missing name would turn a delete of one into a delete of all. */
export function named(ref: ResourceRef): ResourceRef {
  if (!ref.name) throw new TypeError("resource name may not be empty");
  return ref;
}

/** A name that is no one segment of a path is no name. Source: kubernetes/apimachinery pkg/api/validation/path/name.go */
function checked(name: string): string {
  const wrong =
    name === "." || name === ".."
      ? [`be '${name}'`]
      : ["/", "%"].filter((sign) => name.includes(sign)).map((sign) => `contain '${sign}'`);
  if (wrong.length === 0) return name;
  throw new TypeError(
    `invalid resource name ${JSON.stringify(name)}: [${wrong.map((what) => `may not ${what}`).join(" ")}]`,
  );
}

function escapeSegment(segment: string): string {
  // "." and ".." would be resolved away by URL parsers on the path.
  if (segment === "." || segment === "..") throw new TypeError(`invalid resource name "${segment}"`);
  return encodeURIComponent(segment).replaceAll("%3A", ":");
}
