/** What is no HTTP, with the code that Node's client gives it: HPE_… */
export class MalformedAnswer extends Error {
  override readonly name = "MalformedAnswer";
  readonly code: string;

  constructor(code: string, why: string) {
    super(`Parse Error: ${why}`);
    this.code = code;
  }
}

/** Bytes of an answer's head, of its trailers, and of the line before a chunk, at most: as Node's own. */
const maxHeadBytes = 16 * 1024;

export interface Head {
  statusCode: number;
  /** HTTP/1.1, whose connections stay open where nothing else is said. */
  persistent: boolean;
  /** Names in lower case. Lists are joined, of others the first counts; `set-cookie` is a list always: as Node has them. */
  headers: Record<string, string | string[]>;
}

export interface AnswerHandler {
  /** Once per answer. A 101 ends the reading: what follows is handed over as `rest`. */
  head(head: Head, rest: Buffer): void;
  body(chunk: Buffer): void;
  /** The whole answer was read. `extra`: there are bytes behind it, which nobody asked for. */
  end(extra: boolean): void;
}

/** One answer to a GET or POST, read piece by piece. `push` throws MalformedAnswer, and what its handler threw. */
export class AnswerReader {
  readonly #handler: AnswerHandler;
  #state: (bytes: Buffer) => Buffer | undefined = (bytes) => this.#readHead(bytes);
  #held: Buffer = Buffer.alloc(0);
  #left = 0;
  #untilClose = false;
  #over = false;

  constructor(handler: AnswerHandler) {
    this.#handler = handler;
  }

  push(bytes: Buffer): void {
    let rest: Buffer | undefined = this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes;
    this.#held = rest.subarray(0, 0);
    while (rest && !this.#over) rest = this.#state(rest);
  }

  /** The connection has ended, which is the proper end of an answer that says nothing of its length. */
  close(): void {
    if (this.#untilClose && !this.#over) this.#finish(false);
  }

  #readHead(bytes: Buffer): Buffer | undefined {
    const end = this.#endOf(bytes, "\r\n\r\n");
    if (end < 0) {
      const start = bytes.toString("latin1", 0, 5);
      if (!"HTTP/".startsWith(start)) throw new MalformedAnswer("HPE_INVALID_CONSTANT", "Expected HTTP/");
      return undefined;
    }
    const head = parseHead(bytes.toString("latin1", 0, end));
    const rest = bytes.subarray(end + 4);
    const { statusCode, headers } = head;
    if (statusCode === 101) {
      this.#over = true;
      this.#handler.head(head, rest);
      return undefined;
    }
    if (statusCode < 200) return rest; // only a word ahead of the answer
    const coding = headers["transfer-encoding"];
    const length = headers["content-length"];
    if (coding !== undefined && length !== undefined)
      throw new MalformedAnswer(
        "HPE_INVALID_TRANSFER_ENCODING",
        "Content-Length can't be present with Transfer-Encoding",
      );
    if (length !== undefined && !/^\d{1,15}$/.test(String(length)))
      throw new MalformedAnswer("HPE_INVALID_CONTENT_LENGTH", "Invalid character in Content-Length");
    this.#left = Number(length ?? 0);
    this.#untilClose = coding === undefined && length === undefined;
    if (coding === undefined) this.#state = (body) => this.#readBody(body);
    else if (/(^|,)\s*chunked\s*$/i.test(String(coding))) this.#state = (body) => this.#readChunkSize(body);
    else {
      this.#untilClose = true;
      this.#state = (body) => this.#readBody(body);
    }
    this.#handler.head(head, rest);
    if (statusCode === 204 || statusCode === 304 || (length !== undefined && this.#left === 0)) {
      this.#finish(rest.length > 0);
      return undefined;
    }
    return rest;
  }

  #readBody(bytes: Buffer): Buffer | undefined {
    if (bytes.length === 0) return undefined;
    if (this.#untilClose) {
      this.#handler.body(bytes);
      return undefined;
    }
    const body = bytes.subarray(0, this.#left);
    this.#left -= body.length;
    this.#handler.body(body);
    if (this.#left === 0) this.#finish(bytes.length > body.length);
    return undefined;
  }

  #readChunkSize(bytes: Buffer): Buffer | undefined {
    const end = this.#endOf(bytes, "\r\n");
    if (end < 0) return undefined;
    const size = /^([0-9a-f]{1,12})[ \t]*(;[^\r\n]*)?$/i.exec(bytes.toString("latin1", 0, end))?.[1];
    if (size === undefined) throw new MalformedAnswer("HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size");
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left > 0 ? (body) => this.#readChunk(body) : (lines) => this.#readTrailers(lines);
    return bytes.subarray(end + 2);
  }

  #readChunk(bytes: Buffer): Buffer | undefined {
    const body = bytes.subarray(0, this.#left);
    this.#left -= body.length;
    if (body.length > 0) this.#handler.body(body);
    if (this.#left > 0) return undefined;
    this.#state = (line) => {
      if (line.length < 2) return this.#hold(line);
      if (line[0] !== 13 || line[1] !== 10) throw new MalformedAnswer("HPE_STRICT", "Expected LF after chunk data");
      this.#state = (next) => this.#readChunkSize(next);
      return line.subarray(2);
    };
    return bytes.subarray(body.length);
  }

  #readTrailers(bytes: Buffer): Buffer | undefined {
    const end = this.#endOf(bytes, "\r\n");
    if (end < 0) return undefined;
    const rest = bytes.subarray(end + 2);
    if (end > 0) return rest; // a trailer, of which nobody wants to know
    this.#finish(rest.length > 0);
    return undefined;
  }

  /** Where the mark is; what comes before it is held back until then. */
  #endOf(bytes: Buffer, mark: string): number {
    const end = bytes.indexOf(mark, 0, "latin1");
    if (Math.max(end, end < 0 ? bytes.length : 0) > maxHeadBytes)
      throw new MalformedAnswer("HPE_HEADER_OVERFLOW", "Header overflow");
    if (end < 0) this.#hold(bytes);
    return end;
  }

  #hold(bytes: Buffer): undefined {
    this.#held = bytes;
    return undefined;
  }

  #finish(extra: boolean): void {
    this.#over = true;
    this.#handler.end(extra);
  }
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const wrongInValue = /[\x00-\x08\x0a-\x1f\x7f]/;
/** Of these a second line is dropped. */
const single: ReadonlySet<string> = new Set([
  "age",
  "content-type",
  "etag",
  "expires",
  "last-modified",
  "location",
  "retry-after",
  "server",
]);

function parseHead(text: string): Head {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/.exec(statusLine);
  if (!status) throw new MalformedAnswer("HPE_INVALID_CONSTANT", "Expected HTTP/");
  const headers: Head["headers"] = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (colon < 0 || !token.test(name)) throw new MalformedAnswer("HPE_INVALID_HEADER_TOKEN", "Invalid header token");
    if (wrongInValue.test(value)) throw new MalformedAnswer("HPE_INVALID_HEADER_TOKEN", "Invalid header value char");
    addHeader(headers, name, value);
  }
  return { statusCode: Number(status[2]), persistent: status[1] === "1", headers };
}

function addHeader(headers: Head["headers"], name: string, value: string): void {
  const before = headers[name];
  if (name === "set-cookie") headers[name] = [...(before ?? []), value];
  else if (before === undefined) headers[name] = value;
  else if (name === "content-length") {
    if (before !== value)
      throw new MalformedAnswer("HPE_UNEXPECTED_CONTENT_LENGTH", "Content-Length is already present");
  } else if (!single.has(name)) headers[name] = `${before}, ${value}`;
}
