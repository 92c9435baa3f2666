// Talking to the server: JSON in and out, the CSRF token with every change, errors as the server words them.
let csrf = "";

export class Problem extends Error {
  constructor(status, body) {
    super([body.detail, body.expected && `Expected: ${body.expected}.`, body.fix && `Fix: ${body.fix}.`].filter(Boolean).join(" "));
    this.status = status;
  }
}

async function call(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (options.method && options.method !== "GET") headers["X-CSRF-Token"] = csrf;
  const answer = await fetch(path, { ...options, headers, credentials: "same-origin" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const problem = new Problem(answer.status, body);
    problem.retryAfter = Number(answer.headers.get("Retry-After")) || 0;
    throw problem;
  }
  return body;
}

const json = (method, value) => ({ method, body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

export async function session() {
  const found = await call("/api/session");
  csrf = found.csrf;
  return found;
}

export async function logIn(token) {
  const found = await call("/api/session", json("POST", { token }));
  csrf = found.csrf;
  return found;
}

export const listExams = (before) => call("/api/exams" + (before ? `?before=${before}` : ""));
export const getExam = (id) => call(`/api/exams/${id}`);
export const getFrame = (exam, image, frame) => call(`/api/exams/${exam}/images/${image}/frames/${frame}`);
export const erase = (id) => call(`/api/exams/${id}`, { method: "DELETE" });
export const review = (exam, image, finding, body) =>
  call(`/api/exams/${exam}/images/${image}/findings/${finding}`, json("PUT", body));

// A full queue is no failure: the server says when to try again.
export async function upload(files, waiting) {
  for (;;) {
    const body = new FormData();
    for (const file of files) body.append("files", file);
    try {
      return await call("/api/exams", { method: "POST", body });
    } catch (problem) {
      if (problem.status !== 429) throw problem;
      waiting(problem.retryAfter || 2);
      await new Promise((done) => setTimeout(done, 1000 * (problem.retryAfter || 2)));
    }
  }
}

export function listen(changed) {
  const source = new EventSource("/api/events");
  source.addEventListener("exam", (event) => changed(event.data));
  return source;
}
