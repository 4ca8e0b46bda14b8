/** Where images without a registry's name come from, and the folder of those without a user's. */
const defaultDomain = "docker.io";
const officialFolder = "library/";
const defaultTag = "latest";
/** Longest repository name. Source: distribution/reference RepositoryNameTotalLengthMax. */
const maxNameLength = 255;

const pathComponent = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domain = new RegExp(`^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const path = new RegExp(`^${pathComponent}(?:/${pathComponent})*$`);
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/** An image's name in full: `docker.io/library/nginx:latest`, or `…@sha256:…`; never both a tag and a digest. */
export interface Reference {
  /** The registry, with its port where it has one: `docker.io`, `127.0.0.1:5000`. */
  domain: string;
  /** `library/nginx`. */
  path: string;
  tag?: string;
  digest?: string;
}

/** The text does not name an image. */
export class InvalidReference extends Error {
  override readonly name = "InvalidReference";
}

/**
 * Reads an image's name as people write it: `nginx` is `docker.io/library/nginx:latest`.
 * Of a tag and a digest together the digest counts, as in containerd's CRI.
 * Throws InvalidReference, in the words of Docker's parser.
 *
 * Source: distribution/reference (reference.go, regexp.go, normalize.go).
 */
export function parseReference(text: string): Reference {
  if (text === "") throw new InvalidReference("repository name must have at least one component");
  if (/^[0-9a-f]{64}$/.test(text)) {
    throw new InvalidReference(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const [beforeDigest = "", digest, ...more] = text.split("@");
  if (more.length > 0 || (digest !== undefined && !digestPattern.test(digest))) throw invalid();
  if (digest !== undefined && !isSHA256(digest))
    throw new InvalidReference(`unsupported digest algorithm in "${digest}"`);

  const slash = beforeDigest.lastIndexOf("/");
  const colon = beforeDigest.indexOf(":", slash + 1);
  const tag = colon < 0 ? undefined : beforeDigest.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid();
  const name = withDefaults(colon < 0 ? beforeDigest : beforeDigest.slice(0, colon));
  if (/[A-Z]/.test(name.path)) {
    throw new InvalidReference(`invalid reference format: repository name (${name.path}) must be lowercase`);
  }
  if (!domain.test(name.domain) || !path.test(name.path)) throw invalid();
  if (name.path.length > maxNameLength) {
    throw new InvalidReference(`repository name must not be more than ${maxNameLength} characters`);
  }
  return digest === undefined ? { ...name, tag: tag ?? defaultTag } : { ...name, digest };
}

/** The name in full. */
export function formatReference(reference: Reference): string {
  const name = repositoryOf(reference);
  return reference.digest === undefined ? `${name}:${reference.tag ?? defaultTag}` : `${name}@${reference.digest}`;
}

/** The repository without tag and digest: `docker.io/library/nginx`. */
export function repositoryOf({ domain, path }: Reference): string {
  return `${domain}/${path}`;
}

/** Is it `sha256:` and 64 lower-case hexadecimal digits? The only algorithm we check, so the only one we take. */
export function isSHA256(digest: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(digest);
}

function withDefaults(name: string): { domain: string; path: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(0, slash));
  const isDomain = slash > 0 && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  const found = isDomain ? { domain: first, path: name.slice(slash + 1) } : { domain: defaultDomain, path: name };
  if (found.domain === "index.docker.io") found.domain = defaultDomain;
  if (found.domain === defaultDomain && !found.path.includes("/")) found.path = officialFolder + found.path;
  return found;
}

function invalid(): InvalidReference {
  return new InvalidReference("invalid reference format");
}
