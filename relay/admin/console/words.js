/* The console's words: what it writes into URLs and lines to take away, and how it says what the relay said.
 * Pure: nothing here knows the page.
 */

/* encodeURIComponent throws on half a surrogate pair, which a paste may hold. */
export const encode = (text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\uFFFD'));

/* The relay splits `topics` at commas after decoding, and `topic` never. */
export function topicsQuery(topics) {
  if (topics.some((topic) => topic.includes(','))) {
    return topics.map((topic) => `topic=${encode(topic)}`).join('&');
  }
  return `topics=${topics.map(encode).join(',')}`;
}

export function topicsFromQuery(search) {
  const query = new URLSearchParams(search);
  const split = query.getAll('topics').flatMap((list) => list.split(','));
  return [...new Set([...split, ...query.getAll('topic')])].filter(Boolean);
}

export const splitTopics = (text) => text.split(',').map((topic) => topic.trim()).filter(Boolean);
export const streamUrl = (query) => new URL(`sse?${query}`, location.href).href;

/* For POSIX sh: nothing is special inside single quotes but the quote itself. */
export const shellQuote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/* The token itself is not to be copied with a line: it is taken from the shell. */
export const curlToken = (token) => (token ? '-H "Authorization: Bearer $TOKEN" ' : '');

export const curlLine = (topics, token) => `curl -N ${curlToken(token)}${shellQuote(streamUrl(topicsQuery(topics)))}`;

export const javascriptFor = (topics) => `\
const source = new EventSource(${JSON.stringify(streamUrl(`${topicsQuery(topics)}&as=json`))});
source.onmessage = (message) => {
  const { topic, event, id, time, data } = JSON.parse(message.data);
  console.log(topic, event, data);
};
source.addEventListener("relay.reset", (message) => {
  console.warn("events were missed", JSON.parse(message.data));
});`;

/* ---- what the relay said ---- */

/* The sentence of an application/problem+json. */
export async function sentenceOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail || problem.title || `The relay answered ${answer.status} ${answer.statusText}.`;
}

export function describeIds(ids) {
  const parts = Object.entries(ids ?? {}).map(([topic, id]) => (id ? `${topic}: ${id}` : `${topic} (live, no id)`));
  return `Published to ${parts.join(', ')}.`;
}

const REASONS = {
  trimmed: 'events that you missed are no longer kept: a topic keeps only some events, for some time',
  birth: 'your position is not of this Redis, which was emptied or is another one; what you missed is not known',
  limit: 'you missed more events than the relay replays at once',
  failover: 'Redis lost its latest events in a failover or a restart; some that were shown here no longer exist',
  live: 'live events may have been missed; they are not kept',
};

/* A relay.reset in words; what is not understood is shown as it came. */
export function describeReset(data) {
  try {
    const { reason } = JSON.parse(data);
    return Object.hasOwn(REASONS, reason) ? `${reason}: ${REASONS[reason]}` : data;
  } catch {
    return data;
  }
}

/* The topics of a notice. */
export function noticeTopics(data) {
  try {
    return JSON.parse(data).topics.join(', ');
  } catch {
    return '';
  }
}
