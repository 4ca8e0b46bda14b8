import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AnswerReader, type Head, MalformedAnswer } from "./answer-reader.ts";

interface Read {
  head?: Head;
  body: string;
  /** What came behind a 101. */
  rest?: string;
  extra?: boolean;
}

/** What is read of an answer that comes in such pieces. */
function read(pieces: readonly string[], { close = false } = {}): Read {
  const seen: Read = { body: "" };
  const reader = new AnswerReader({
    head(head, rest) {
      assert.equal(seen.head, undefined, "one head");
      seen.head = head;
      if (head.statusCode === 101) seen.rest = rest.toString("latin1");
    },
    body(chunk) {
      seen.body += chunk.toString("latin1");
    },
    end(extra) {
      assert.equal(seen.extra, undefined, "one end");
      seen.extra = extra;
    },
  });
  for (const piece of pieces) reader.push(Buffer.from(piece, "latin1"));
  if (close) reader.close();
  return seen;
}

const answers = {
  length: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
  chunks: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n",
  ahead: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
};

describe("an answer", () => {
  for (const [name, text] of Object.entries(answers)) {
    it(`is the same wherever it is cut: ${name}`, () => {
      for (let at = 0; at <= text.length; at++) {
        const { head, body, extra } = read([text.slice(0, at), text.slice(at)]);
        assert.deepEqual([head?.statusCode, body, extra], [200, "hello", false], `cut at ${at}`);
      }
      assert.equal(read([...text]).body, "hello");
      assert.equal(read([`${text}HTTP`]).extra, true);
      const short = read([text.slice(0, -1)]);
      assert.equal(short.extra, undefined, "one that is cut short does not end");
    });
  }

  it("has no body where its code or its length says so", () => {
    for (const head of ["204 No Content", "304 Not Modified\r\nContent-Length: 7", "200 OK\r\nContent-Length: 0"])
      assert.deepEqual(
        [read([`HTTP/1.1 ${head}\r\n\r\n`]).body, read([`HTTP/1.1 ${head}\r\n\r\n`]).extra],
        ["", false],
      );
  });

  it("that says nothing of its length ends with the connection", () => {
    const text = "HTTP/1.0 200 OK\r\n\r\nhello";
    assert.equal(read([text]).extra, undefined);
    const { head, body, extra } = read([text], { close: true });
    assert.deepEqual([head?.persistent, body, extra], [false, "hello", false]);
    assert.equal(read([answers.length.slice(0, -1)], { close: true }).extra, undefined, "which has a length does not");
  });

  it("of 101 leaves what follows to others", () => {
    const { head, rest, body } = read(["HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00"]);
    assert.deepEqual([head?.headers.upgrade, rest, body], ["websocket", "\x81\x00", ""]);
  });

  it("has its headers as Node has them", () => {
    const lines =
      "A: 1\r\na:2 \r\nSet-Cookie: x\r\nSet-Cookie: y\r\nContent-Type: p\r\nContent-Type: q\r\n__proto__: z\r\n";
    const { head } = read([`HTTP/1.1 200 OK\r\n${lines}Content-Length: 0\r\n\r\n`]);
    assert.deepEqual(Object.entries(head?.headers ?? {}), [
      ["a", "1, 2"],
      ["set-cookie", ["x", "y"]],
      ["content-type", "p"],
      ["__proto__", "z"],
      ["content-length", "0"],
    ]);
  });

  it("that is no HTTP, or has two lengths, is refused with Node's codes", () => {
    const wrong: Record<string, string> = {
      "SSH-2.0-x\r\n": "HPE_INVALID_CONSTANT",
      "HTTP/2 200\r\n\r\n": "HPE_INVALID_CONSTANT",
      "HTTP/1.1 20 OK\r\n\r\n": "HPE_INVALID_CONSTANT",
      "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n": "HPE_INVALID_HEADER_TOKEN",
      "HTTP/1.1 200 OK\r\n folded\r\n\r\n": "HPE_INVALID_HEADER_TOKEN",
      "HTTP/1.1 200 OK\r\nA: 1\n2\r\n\r\n": "HPE_INVALID_HEADER_TOKEN",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": "HPE_UNEXPECTED_CONTENT_LENGTH",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n": "HPE_INVALID_CONTENT_LENGTH",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": "HPE_INVALID_TRANSFER_ENCODING",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n": "HPE_INVALID_CHUNK_SIZE",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc": "HPE_STRICT",
      [`HTTP/1.1 200 OK\r\nA: ${"a".repeat(20_000)}`]: "HPE_HEADER_OVERFLOW",
      [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"a".repeat(20_000)}`]: "HPE_HEADER_OVERFLOW",
    };
    for (const [text, code] of Object.entries(wrong))
      assert.throws(
        () => read([text]),
        (error) => error instanceof MalformedAnswer && error.code === code,
        JSON.stringify(text.slice(0, 60)),
      );
  });
});
