/* The console's behaviour: one EventSource with as=json, so that events of every name arrive as `message`.
 *
 * Data flows one way: receive() counts an event and puts a record into `pending`; paint(), at most ten times a
 * second, turns what is pending into rows. So ten thousand events a second cost ten repaints, not ten thousand.
 * Memory is bounded: KEEP records, SHOWN characters of each, SECONDS of rates. Whatever comes from the network
 * reaches the page as text (textContent), never as markup.
 */

import {
  curlLine, curlToken, describeIds, describeReset, encode, javascriptFor, noticeTopics, sentenceOf, shellQuote, splitTopics,
  streamUrl, topicsFromQuery, topicsQuery,
} from './words.js';

const KEEP = 500; // rows
const SHOWN = 4096; // characters of data that a row keeps
const SECONDS = 60; // width of the plot
const PAINT_MS = 100;
const MEAN_S = 5; // the big figure is a mean over so many seconds
const PATIENCE_MS = 5000; // a connection that takes longer gets a hint
const COLOURS = 8; // as many as console.css defines; further topics share "other"
const OTHER = COLOURS, DOWN = COLOURS + 1, RESET = COLOURS + 2; // slots of a second beyond the colours
const SUGGESTED = ['time', 'letters'];

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/* The token is in its field alone, and in no address, storage or copied line. EventSource can set no header. */
const token = () => $('token').value.trim();
const bearer = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/* ---- topics ---- */

const watched = new Map(); // topic to colour

function addTopic(topic) {
  const taken = new Set(watched.values());
  let colour = 0;
  while (colour < COLOURS && taken.has(colour)) colour++;
  if (!watched.has(topic)) watched.set(topic, colour);
}

const colourOf = (topic) => watched.get(topic) ?? OTHER;

function chip(topic) {
  const item = $('chip').content.firstElementChild.cloneNode(true);
  item.querySelector('.swatch').classList.add(`c${colourOf(topic)}`);
  item.querySelector('.text').textContent = topic;
  const remove = item.querySelector('button');
  remove.setAttribute('aria-label', `Remove ${topic}`);
  remove.addEventListener('click', () => {
    watched.delete(topic);
    topicsChanged();
    $('topic-input').focus();
  });
  return item;
}

function topicsChanged() {
  const topics = [...watched.keys()];
  $('topics').replaceChildren(...topics.map(chip));
  $('publish-topics').replaceChildren(...topics.map((topic) => new Option(topic, topic)));
  if (!$('publish-topic').value) $('publish-topic').value = topics.at(-1) ?? '';
  $('curl').textContent = topics.length ? curlLine(topics, token()) : '';
  $('javascript').textContent = topics.length ? javascriptFor(topics) : '';
  history.replaceState(null, '', topics.length ? `?${topicsQuery(topics)}` : location.pathname);
  connection.cursor = ''; // a topic that is new here has no gap to be told of
  connect();
}

/* ---- the connection ---- */

/* `cursor` is the last id: where Connect goes on after Disconnect. */
const connection = {
  source: null, cursor: '', opened: false, patience: 0, reconnects: 0, resets: 0, received: 0, heard: 0,
};

function setState(state, notice = '') {
  advance(); // seconds up to now still belong to the state before
  document.body.dataset.state = state;
  $('state-text').textContent = state;
  $('connect').textContent = connection.source ? 'Disconnect' : 'Connect';
  $('notice').textContent = notice;
  $('notice').hidden = !notice;
  schedule();
}

function disconnect(notice) {
  clearTimeout(connection.patience);
  connection.source?.close();
  connection.source = null;
  setState('closed', notice);
}

/* @start says where to begin: a query such as `last=10`, or nothing for now. EventSource sends it again with each
 * reconnect, but then a cursor beside it, which wins. */
function connect(start) {
  if (!watched.size) {
    disconnect('Choose at least one topic to watch.');
    return;
  }
  disconnect();
  const query = [topicsQuery([...watched.keys()]), 'as=json', 'ping=1'];
  if (start) query.push(start);
  if (token()) query.push(`token=${encode(token())}`);
  const url = streamUrl(query.join('&'));
  const source = new EventSource(url);
  connection.source = source;
  connection.opened = false;
  setState('connecting');
  connection.patience = setTimeout(() => {
    setState('connecting', 'Still connecting. Over HTTP/1.1 a browser opens six connections to a server, no more: '
      + 'other tabs may hold them.');
  }, PATIENCE_MS);

  source.onopen = () => {
    clearTimeout(connection.patience);
    if (connection.opened) connection.reconnects++;
    connection.opened = true;
    connection.heard = performance.now();
    setState('accepted');
  };
  source.onerror = () => {
    clearTimeout(connection.patience);
    if (source.readyState === EventSource.CLOSED) explain(url, source);
    else setState('reconnecting');
  };
  source.onmessage = ({ data, lastEventId }) => {
    connection.cursor = lastEventId;
    receive(readEvent(data, lastEventId));
  };
  for (const name of ['relay.live', 'relay.reset', 'relay.ping']) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      connection.cursor = lastEventId;
      receiveNotice({ name, data, id: name === 'relay.ping' ? '' : lastEventId });
    });
  }
}

function resume() {
  connect(connection.cursor && `lastEventId=${encode(connection.cursor)}`);
}

/* Rows are in the order of arrival, so what is replayed begins a new list. */
function replay() {
  const start = $('replay').value;
  $('replay').value = '';
  setPaused(false);
  clearRows();
  connect(start);
}

/* The relay's own sentence about a stream that it refuses, which EventSource does not tell; '' where it opens one. */
async function refusal(url) {
  const abort = new AbortController();
  const patience = setTimeout(() => abort.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(url, { signal: abort.signal, headers: bearer() });
    return answer.ok ? '' : await sentenceOf(answer);
  } finally {
    clearTimeout(patience);
    abort.abort();
  }
}

/* EventSource gave up: ask once more, to show why. */
async function explain(url, source) {
  disconnect('The relay refused the stream.');
  const notice = await refusal(url).catch(() => 'The relay does not answer.') || 'The relay ended the stream.';
  if (!connection.source && source.readyState === EventSource.CLOSED) disconnect(notice);
}

/* A topic that the relay refuses would end the stream for all the others, so it is asked about first. What was
 * typed stands first in the question, since the answer names a topic by its position. */
async function addTyped() {
  const typed = $('topic-input').value;
  const topics = [...new Set(splitTopics(typed))].filter((topic) => !watched.has(topic));
  if (topics.length) {
    const wrong = await refusal(streamUrl(topicsQuery([...topics, ...watched.keys()]))).catch(() => '');
    if (wrong) {
      setState(document.body.dataset.state, wrong);
      return;
    }
    topics.forEach(addTopic);
    topicsChanged();
  }
  if ($('topic-input').value === typed) $('topic-input').value = '';
}

/* ---- what arrives ---- */

function readEvent(text, lastEventId) {
  try {
    const { topic, event, id, time, data } = JSON.parse(text);
    return { topic, name: event ?? 'message', id: id ?? '', time, data: data ?? '' };
  } catch {
    return { topic: '', name: 'message', id: lastEventId, data: text };
  }
}

function receive(event) {
  connection.received++;
  connection.heard = performance.now();
  currentSecond()[colourOf(event.topic)]++;
  keep(record(event));
}

function receiveNotice({ name, data, id }) {
  connection.heard = performance.now();
  if (name === 'relay.live') setState('live');
  if (name === 'relay.reset') {
    connection.resets++;
    currentSecond()[RESET]++;
  }
  const kind = name.slice('relay.'.length);
  keep(record({ topic: noticeTopics(data), name, id, data: kind === 'reset' ? describeReset(data) : data, kind }));
}

function record({ topic, name, id, time, data, kind }) {
  let shown = typeof data === 'string' ? data : JSON.stringify(data);
  if (shown.length > SHOWN) {
    // Through JSON, since a bare slice would keep the whole string in memory.
    shown = `${JSON.parse(JSON.stringify(shown.slice(0, SHOWN)))} … (${number.format(shown.length)} characters)`;
  }
  const when = new Date(time ?? Date.now());
  return { topic, name, id, when: isNaN(when) ? new Date() : when, data: shown, kind };
}

/* ---- rates and their plot ---- */

const ring = Array.from({ length: SECONDS }, () => new Uint32Array(RESET + 1));
const plot = { second: 0, context: $('plot').getContext('2d'), width: 0, height: 0, pointed: null, colours: {} };

/* Opens every second since the last call, so that ring[s % SECONDS] is valid for the last SECONDS of s. */
function advance() {
  const now = Math.floor(performance.now() / 1000);
  const down = document.body.dataset.state !== 'live';
  for (let s = Math.max(plot.second + 1, now - SECONDS + 1); s <= now; s++) {
    ring[s % SECONDS].fill(0);
    ring[s % SECONDS][DOWN] = down ? 1 : 0;
  }
  plot.second = now;
}

function currentSecond() {
  advance();
  return ring[plot.second % SECONDS];
}

/* The counts of @ago seconds ago; null before the page was there. */
function secondsAgo(ago) {
  return plot.second - ago < 0 || ago >= SECONDS ? null : ring[(plot.second - ago) % SECONDS];
}

const total = (counts) => counts.subarray(0, OTHER + 1).reduce((sum, n) => sum + n, 0);

/* The current second is still filling, so the mean is over whole seconds before it. */
function meanRate() {
  let sum = 0;
  let seconds = 0;
  for (let ago = 1; ago <= MEAN_S && secondsAgo(ago); ago++, seconds++) sum += total(secondsAgo(ago));
  return seconds ? sum / seconds : 0;
}

function peakRate() {
  let peak = 0;
  for (let ago = 0; ago < SECONDS && secondsAgo(ago); ago++) peak = Math.max(peak, total(secondsAgo(ago)));
  return peak;
}

/* The smallest round number that is not below @n. */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= n);
}

function readColours() {
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  plot.colours = {
    topics: Array.from({ length: OTHER + 1 }, (_, i) => colour(`c${i}`)),
    line: colour('line'), muted: colour('muted'), down: colour('down'), reset: colour('reset'),
  };
  plot.font = `11px ${style.fontFamily}`;
  schedule();
}

function drawPlot() {
  const { context, width, height, colours } = plot;
  const scale = window.devicePixelRatio;
  const top = 14, bottom = height - 18, span = bottom - top;
  const slot = width / SECONDS;
  const ceiling = roundUp(Math.max(peakRate(), 4)); // so that one event a second is a low bar
  const snap = (x) => Math.round(x * scale) / scale; // onto whole device pixels

  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  drawAxes(top, bottom, ceiling);
  for (let ago = SECONDS - 1; ago >= 0; ago--) {
    const counts = secondsAgo(ago);
    if (!counts) continue;
    const left = snap(width - (ago + 1) * slot);
    const right = snap(width - ago * slot);
    const bar = Math.max(right - left - (slot > 4 ? 2 : 1), 1);
    if (counts[DOWN]) {
      context.fillStyle = colours.down;
      context.fillRect(left, top, right - left, span);
    }
    context.globalAlpha = plot.pointed === null ? (ago ? 1 : 0.55) : (plot.pointed === ago ? 1 : 0.35);
    let y = bottom;
    for (let colour = 0; colour <= OTHER; colour++) {
      if (!counts[colour]) continue;
      const next = snap(y - (counts[colour] / ceiling) * span);
      context.fillStyle = colours.topics[colour];
      context.fillRect(left, next, bar, y - next);
      y = next;
    }
    context.globalAlpha = 1;
    if (counts[RESET]) {
      context.fillStyle = colours.reset;
      context.fillRect(left, top, 2, span);
    }
  }
}

function drawAxes(top, bottom, ceiling) {
  const { context, width, colours } = plot;
  context.font = plot.font;
  context.fillStyle = colours.muted;
  context.textBaseline = 'middle';
  context.textAlign = 'left';
  context.fillText(number.format(ceiling), 0, top - 7);
  context.textBaseline = 'bottom';
  context.fillText('60 s ago', 0, bottom + 18);
  context.textAlign = 'center';
  context.fillText('30 s', width / 2, bottom + 18);
  context.textAlign = 'right';
  context.fillText('now', width, bottom + 18);
  context.fillStyle = colours.line;
  for (const y of [top, (top + bottom) / 2, bottom]) context.fillRect(0, Math.round(y), width, 1);
}

function describePlot() {
  const counts = plot.pointed === null ? null : secondsAgo(plot.pointed);
  if (!counts) return `peak ${number.format(peakRate())}`;
  const shares = [...watched].filter(([, colour]) => counts[colour] && colour !== OTHER)
    .map(([topic, colour]) => `${topic} ${number.format(counts[colour])}`);
  if (counts[OTHER]) shares.push(`others ${number.format(counts[OTHER])}`);
  if (counts[RESET]) shares.push('reset');
  return [plot.pointed ? `${plot.pointed} s ago` : 'now', `${number.format(total(counts))} events`, ...shares]
    .join(' · ');
}

function resizePlot() {
  const canvas = $('plot');
  plot.width = canvas.clientWidth;
  plot.height = canvas.clientHeight;
  canvas.width = Math.round(plot.width * window.devicePixelRatio);
  canvas.height = Math.round(plot.height * window.devicePixelRatio);
  drawPlot(); // at once, since setting the size has emptied it
}

/* ---- rows ---- */

const list = { pending: [], paused: false, missed: 0, filter: '' };

/* Notices pass every filter: a reset must not be overlooked. */
const passes = (kind, text) => Boolean(kind) || text.toLowerCase().includes(list.filter);

const searchable = ({ topic, name, data, id }) => [topic, name, data, id].join(' ');

/* While a filter is set only what passes it is kept, so that a rare event is not washed away by a flood. */
function keep(item) {
  schedule();
  if (!passes(item.kind, searchable(item))) return;
  if (item.kind === 'ping' && list.pending.at(-1)?.kind === 'ping') list.pending.pop();
  if (list.pending.length === KEEP) list.pending.shift();
  list.pending.push(item);
  if (list.paused) list.missed++;
}

const clock = (date) => [date.getHours(), date.getMinutes(), date.getSeconds()]
  .map((n) => String(n).padStart(2, '0')).join(':') + `.${String(date.getMilliseconds()).padStart(3, '0')}`;

function rowOf(item) {
  const row = $('row').content.firstElementChild.cloneNode(true);
  const [time, topic, name, data, id] = row.children;
  time.textContent = clock(item.when);
  time.title = item.when.toISOString();
  topic.textContent = item.topic;
  topic.classList.add(item.kind ? 'none' : `c${colourOf(item.topic)}`);
  name.textContent = item.name;
  data.textContent = item.data;
  id.textContent = item.id;
  id.title = item.id;
  if (item.kind) row.dataset.kind = item.kind;
  row.classList.toggle('open', item.kind === 'reset'); // its sentence is to be read
  return row;
}

function drawRows() {
  const rows = $('rows');
  if (list.pending.length && !list.paused) {
    // Of heartbeats in a row only the last is of interest.
    if (list.pending[0].kind === 'ping' && rows.firstElementChild?.dataset.kind === 'ping') {
      rows.firstElementChild.remove();
    }
    for (let spare = rows.childElementCount + list.pending.length - KEEP; spare > 0; spare--) {
      rows.lastElementChild.remove();
    }
    rows.prepend(...list.pending.reverse().map(rowOf));
    list.pending.length = 0;
  }
  $('empty').hidden = rows.childElementCount > 0;
}

function applyFilter() {
  list.filter = $('filter').value.trim().toLowerCase();
  for (const row of $('rows').children) {
    row.hidden = !passes(row.dataset.kind, [...row.children].slice(1).map((cell) => cell.textContent).join(' '));
  }
  list.pending = list.pending.filter((item) => passes(item.kind, searchable(item)));
  schedule();
}

function setPaused(paused) {
  list.paused = paused;
  list.missed = 0;
  $('pause').setAttribute('aria-pressed', String(paused));
  schedule();
}

function clearRows() {
  list.pending.length = 0;
  list.missed = 0;
  $('rows').replaceChildren();
  schedule();
}

function unfold(row) {
  row?.classList.toggle('open');
}

function moveInRows(event) {
  const row = event.target.closest('#rows > tr');
  const visible = [...$('rows').children].filter((candidate) => !candidate.hidden);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) visible.at(Math.max(visible.indexOf(row) + step, 0))?.focus();
  else if (row && (event.key === 'Enter' || event.key === ' ')) unfold(row);
  else return;
  event.preventDefault();
}

/* ---- painting ---- */

const painting = { frame: 0, last: 0 };

function schedule() {
  painting.frame ||= requestAnimationFrame(paint);
}

function paint(now) {
  painting.frame = 0;
  if (now - painting.last < PAINT_MS) {
    schedule();
    return;
  }
  painting.last = now;
  advance();
  drawFigures();
  drawPlot();
  drawRows();
}

function drawFigures() {
  const rate = connection.source ? meanRate() : 0;
  const silent = Math.floor((performance.now() - connection.heard) / 1000);
  $('rate').textContent = number.format(rate < 10 ? rate : Math.round(rate));
  $('received').textContent = number.format(connection.received);
  $('reconnects').textContent = number.format(connection.reconnects);
  $('resets').textContent = number.format(connection.resets);
  $('resets').classList.toggle('alarm', connection.resets > 0);
  $('heard').textContent = !connection.heard ? 'never' : silent < 1 ? 'just now' : `${number.format(silent)} s ago`;
  $('readout').textContent = describePlot();
  $('pause').textContent = !list.paused ? 'Pause' : list.missed ? `Resume (${number.format(list.missed)})` : 'Resume';
  $('shown').textContent = list.filter ? 'those that match' : `newest ${KEEP}`;
}

/* ---- publishing ---- */

function publishRequest() {
  const text = $('publish-topic').value;
  const topics = watched.has(text) ? [text] : splitTopics(text); // a watched topic may hold a comma
  const query = [topicsQuery(topics)];
  if ($('publish-event').value) query.push(`event=${encode($('publish-event').value)}`);
  if ($('publish-retry').value) query.push(`retry=${encode($('publish-retry').value)}`);
  if (!$('publish-durable').checked) query.push('live');
  else if ($('publish-key').value) query.push(`key=${encode($('publish-key').value)}`);
  return { url: streamUrl(query.join('&')), body: $('publish-data').value };
}

/* --data-raw: unlike --data it does not read a file when the data begins with @. */
function publishCurlLine() {
  const { url, body } = publishRequest();
  return `curl ${curlToken(token())}--data-raw ${shellQuote(body)} ${shellQuote(url)}`;
}

async function publish() {
  const { url, body } = publishRequest();
  const answer = (text, good) => {
    $('answer').textContent = text;
    $('answer').className = good ? 'good' : 'bad';
  };
  $('publish-send').disabled = true;
  try {
    const response = await fetch(url, { method: 'POST', body, headers: bearer() });
    if (response.ok) answer(describeIds((await response.json()).ids), true);
    else answer(`${response.status}: ${await sentenceOf(response)}`, false);
  } catch {
    answer('The relay does not answer.', false);
  }
  $('publish-send').disabled = false;
}

/* ---- copying ---- */

/* The clipboard API exists on https and localhost only; elsewhere an unseen field is selected and copied. */
async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement('textarea');
  field.className = 'unseen';
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  if (!done) throw new Error('refused');
}

async function copy(button, text) {
  let outcome = 'Copied';
  await toClipboard(text).catch(() => { outcome = 'Not allowed'; });
  button.dataset.label ??= button.textContent;
  button.textContent = outcome;
  $('copied').textContent = outcome;
  button.focus();
  setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
}

/* ---- wiring ---- */

$('topic-form').addEventListener('submit', (event) => {
  event.preventDefault();
  addTyped();
});
$('topic-input').addEventListener('keydown', (event) => {
  if (event.key !== 'Backspace' || event.target.value || !watched.size) return;
  watched.delete([...watched.keys()].at(-1));
  topicsChanged();
});
$('token').addEventListener('change', topicsChanged);
$('connect').addEventListener('click', () => (connection.source ? disconnect() : resume()));
$('replay').addEventListener('change', replay);
$('pause').addEventListener('click', () => setPaused(!list.paused));
$('clear').addEventListener('click', clearRows);
$('filter').addEventListener('input', applyFilter);
$('rows').addEventListener('click', (event) => {
  if (getSelection().isCollapsed) unfold(event.target.closest('tr'));
});
$('scroll').addEventListener('keydown', moveInRows);
$('publish').addEventListener('submit', (event) => {
  event.preventDefault();
  publish();
});
$('publish-data').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('publish').requestSubmit();
});
$('publish-durable').addEventListener('change', () => {
  $('publish-key').disabled = !$('publish-durable').checked;
});
$('publish-copy').addEventListener('click', (event) => copy(event.target, publishCurlLine()));
for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', () => copy(button, $(button.dataset.copy).textContent));
}
$('plot').addEventListener('pointermove', (event) => {
  plot.pointed = Math.min(Math.max(Math.floor((1 - event.offsetX / plot.width) * SECONDS), 0), SECONDS - 1);
  schedule();
});
$('plot').addEventListener('pointerleave', () => {
  plot.pointed = null;
  schedule();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', readColours);
window.addEventListener('resize', resizePlot); // a zoom changes the pixel ratio but not the canvas' own size
new ResizeObserver(resizePlot).observe($('plot'));

$('host').textContent = location.host;
readColours();
const asked = topicsFromQuery(location.search);
(asked.length ? asked : SUGGESTED).forEach(addTopic);
topicsChanged();
setInterval(schedule, 1000);
