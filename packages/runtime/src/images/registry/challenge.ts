/** One challenge of a WWW-Authenticate header. */
export interface Challenge {
  /** In lower case: "basic", "bearer". */
  scheme: string;
  parameters: Record<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

/**
 * Reads WWW-Authenticate: any number of challenges, each with quoted or bare parameters. Parameter names are in lower case.
 * What does not parse is left out.
 *
 * Source: RFC 9110, section 11.6.1.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const pattern = new RegExp(`(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))|(${token})`, "g");
  for (const [, name, quoted, bare, scheme] of header.slice(0, 16_384).matchAll(pattern)) {
    if (scheme !== undefined) {
      challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
      continue;
    }
    const current = challenges.at(-1);
    if (!current || name === undefined) continue;
    current.parameters[name.toLowerCase()] = bare ?? (quoted ?? "").replace(/\\(.)/g, "$1");
  }
  return challenges;
}
