'use strict';
// The status page. It reads status.json and history.json, and writes nothing anywhere. Whatever it shows was written by
// somebody else, and is set as text.

const PAUSE = 5000;
const PATIENCE = 10000;
const LONGEST = 240;
const LONGEST_IN_FULL = 4000;

const of = (id) => document.getElementById(id);
const state = { report: null, order: 'worst', isReversed: false, rows: new Map(), silentSince: null, history: null };

// What text would show as nothing, or turn around, is written out; what is long is cut, with a mark.
function shown(text, most = LONGEST) {
  const plain = String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  const characters = Array.from(plain.slice(0, 2 * most + 2));
  return characters.length > most ? characters.slice(0, most).join('') + '…' : plain;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function number(count) {
  return count === null || count === undefined ? '' : count.toLocaleString('en');
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return '';
  for (const [unit, length] of [['d', 86400], ['h', 3600], ['min', 60]]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${seconds} s`;
}

function bytes(count) {
  if (count === null || count === undefined) return '';
  let value = count;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${unit === 'B' ? value : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}

function ago(seconds) {
  return seconds === null || seconds === undefined ? 'never' : `${duration(seconds)} ago`;
}

const oldest = (site) => (site.waiting ? site.waiting.oldest_seconds : null);
const waiting = (site) => (site.waiting ? site.waiting.files : null);
const rate = (site) => (site.rates.length ? site.rates[site.rates.length - 1].files_per_hour : null);
const isShort = (one) => one.seconds > 0 && one.seconds < one.minutes * 60;
// Where there was less time, the next would say the same once more.
const spans = (rates) => rates.slice(0, rates.findIndex(isShort) + 1 || rates.length);
const clock = (seen) => {
  const apart = Math.abs(seen.ahead_milliseconds);
  const text = apart < 10000 ? `${number(apart)} ms` : duration(Math.floor(apart / 1000));
  return `${text} ${seen.ahead_milliseconds < 0 ? 'behind' : 'ahead of'} ours`;
};
const lag = (known) => (known.oldest_seconds === null ? 'nothing waits to be sent there'
  : `${number(known.waiting)} items wait to be sent there, the first for ${duration(known.oldest_seconds)}`);
const isOdd = (site) => site.problem !== null || ['paused', 'held-up', 'unusable'].includes(site.state);
const grade = (site) => (site.is_failing ? 0 : isOdd(site) ? 1 : 2);
const byName = (one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0);
// The larger first, and what is unknown last.
const falling = (value) => (one, other) => (value(other) ?? -1) - (value(one) ?? -1);

const ORDERS = {
  worst: (one, other) =>
    grade(one) - grade(other) ||
    (one.is_failing ? falling((site) => site.last_success_seconds ?? Infinity)(one, other) || 0 : 0) ||
    falling(oldest)(one, other) ||
    falling(waiting)(one, other),
  name: byName,
  state: (one, other) => (one.state < other.state ? -1 : one.state > other.state ? 1 : 0),
  waiting: falling(waiting),
  oldest: falling(oldest),
  rate: falling(rate),
  quiet: falling((site) => site.quiet_seconds),
};

function matches(site, words) {
  const reason = site.problem ? site.problem.reason : '';
  const text = `${site.name} ${site.address} ${site.state} ${reason} ${site.is_failing ? 'failing' : ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function problemOf(site) {
  if (site.problem) return `${site.problem.reason}: ${site.problem.message}`;
  if (site.state === 'held-up' && site.here.files > 0) {
    return 'no more is collected until the data server has taken some of what is here (max_spool_files, max_spool_bytes): is it running?';
  }
  return '';
}

function noteOn(site) {
  return problemOf(site) || (site.not_taken.length ? 'files are left there, and not taken' : '');
}

function stateOf(site) {
  return (site.is_failing ? '! ' : '') + site.state.replace(/-/g, ' ');
}

const COLUMNS = [
  ['', (site) => shown(site.name)],
  ['', stateOf],
  ['waiting', (site) => number(waiting(site))],
  ['oldest', (site) => (site.waiting && site.waiting.age_source === 'names' && oldest(site) !== null ? '~' : '') + duration(oldest(site))],
  ['an hour', (site) => number(rate(site))],
  ['good', (site) => ago(site.last_success_seconds)],
  ['', (site) => shown(noteOn(site))],
];

const routeTo = (name) => `#/site/${encodeURIComponent(name)}`;

function routedTo() {
  const match = /^#\/site\/(.*)$/.exec(location.hash);
  if (!match) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

function newRow(site) {
  const row = document.createElement('tr');
  row.tabIndex = -1;
  const cells = COLUMNS.map(([label], index) => {
    const cell = row.insertCell();
    if (index >= 2 && index <= 5) cell.className = 'number';
    if (label) cell.dataset.label = label;
    return cell;
  });
  const link = document.createElement('a');
  link.href = routeTo(site.name);
  link.tabIndex = -1;
  cells[0].append(link);
  cells[0] = link;
  row.addEventListener('click', () => { location.hash = routeTo(site.name); });
  return { row, cells };
}

function drawRows() {
  const words = of('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const sites = state.report.sites.filter((site) => matches(site, words));
  const compare = ORDERS[state.order];
  const turn = state.isReversed ? -1 : 1;
  sites.sort((one, other) => turn * compare(one, other) || byName(one, other));
  const body = of('rows');
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const kept = new Set();
  let before = null;
  for (const site of sites) {
    let drawn = state.rows.get(site.name);
    if (!drawn) {
      drawn = newRow(site);
      state.rows.set(site.name, drawn);
    }
    kept.add(site.name);
    COLUMNS.forEach(([, text], index) => setText(drawn.cells[index], text(site)));
    const kind = ['bad', 'odd', 'good'][grade(site)];
    if (drawn.row.className !== kind) drawn.row.className = kind;
    const place = before ? before.nextSibling : body.firstChild;
    if (place !== drawn.row) body.insertBefore(drawn.row, place);
    before = drawn.row;
  }
  for (const [name, drawn] of state.rows) {
    if (!kept.has(name)) {
      drawn.row.remove();
      state.rows.delete(name);
    }
  }
  if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  of('nothing').hidden = sites.length > 0 || state.report.sites.length === 0;
  const all = state.report.sites.length;
  setText(of('shown'), sites.length === all ? '' : `${number(sites.length)} of ${number(all)}`);
  for (const button of document.querySelectorAll('th button')) {
    const isIt = button.dataset.order === state.order;
    const header = button.parentElement;
    if (!isIt) header.removeAttribute('aria-sort');
    else header.setAttribute('aria-sort', (state.order === 'name' || state.order === 'state') !== state.isReversed ? 'ascending' : 'descending');
  }
  of('order').value = state.order;
}

function drawSummary() {
  const { daemon, sites } = state.report;
  const files = sites.reduce((sum, site) => sum + (waiting(site) ?? 0), 0);
  const anHour = sites.reduce((sum, site) => sum + (rate(site) ?? 0), 0);
  const parts = [
    `${number(sites.length)} ${sites.length === 1 ? 'site' : 'sites'}`,
    daemon.failing ? `${number(daemon.failing)} ${daemon.failing === 1 ? 'fails' : 'fail'}` : 'none fails',
    `${number(files)} files wait`,
    `${number(anHour)} an hour`,
    `${number(daemon.unpublished.files)} unpublished`,
    `up ${duration(daemon.uptime_seconds)}`,
    `version ${shown(daemon.program_version)}`,
  ];
  setText(of('summary'), parts.join(' · '));
  document.title = daemon.failing ? `(${daemon.failing}) tentacle-sync` : 'tentacle-sync';
}

const SVG = 'http://www.w3.org/2000/svg';

function sparkline(title, values, step, show) {
  const figure = document.createElement('figure');
  const caption = document.createElement('figcaption');
  const known = values.filter((value) => value !== null);
  const last = values.length ? values[values.length - 1] : null;
  const most = known.length ? Math.max(...known) : 0;
  caption.textContent = known.length
    ? `${title}: ${last === null ? 'unknown' : show(last)} now, ${show(most)} at the most in ${duration(step * values.length)}`
    : `${title}: unknown`;
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 288 40');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', caption.textContent);
  const path = document.createElementNS(SVG, 'path');
  let line = '';
  let isDown = false;
  values.forEach((value, index) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const x = 288 - (values.length - index);
    const y = 38 - (most ? (36 * value) / most : 0);
    line += `${isDown ? 'L' : 'M'}${x} ${y.toFixed(1)}`;
    // A single one is a short line.
    if (!isDown && (index + 1 === values.length || values[index + 1] === null)) line += 'h1';
    isDown = true;
  });
  path.setAttribute('d', line);
  svg.append(path);
  figure.append(svg, caption);
  return figure;
}

function facts(site) {
  const { waiting: listed, last_round: round } = site;
  const pairs = [
    ['State', `${site.state.replace(/-/g, ' ')} for ${duration(site.state_seconds)}`],
    ['Address', shown(site.address)],
    ['Last good round', ago(site.last_success_seconds)],
    ['Next round', site.next_round_seconds === null ? '' : `in ${duration(site.next_round_seconds)}, every ${duration(site.interval_seconds)}`],
    ['Failures', site.problem && site.problem.failures ? `${number(site.problem.failures)} in ${duration(site.problem.since_seconds)}` : ''],
  ];
  if (listed) {
    const source = listed.age_source === 'names' ? 'by the times in their names' : "by the site's clock";
    pairs.push(['Waiting there', `${number(listed.files)} files${listed.bytes === null ? '' : `, ${bytes(listed.bytes)}`}, listed ${ago(listed.listed_seconds)}`]);
    if (listed.oldest_seconds !== null) pairs.push(['Oldest', `${duration(listed.oldest_seconds)} (${source})`]);
    const ages = listed.ages.filter((age) => age.files).map((age) => `${age.up_to_seconds === null ? 'older' : `up to ${duration(age.up_to_seconds)}`}: ${number(age.files)}`);
    if (listed.ages_unknown) ages.push(`unknown: ${number(listed.ages_unknown)}`);
    if (ages.length) pairs.push(['Ages', ages.join(', ')]);
  } else {
    pairs.push(['Waiting there', 'unknown: it was not listed yet']);
  }
  pairs.push(
    ['Collected', `${number(site.collected.files)} files, ${bytes(site.collected.bytes)}`],
    ['Collected an hour', spans(site.rates).map((one) => `${number(one.files_per_hour)} (${isShort(one) ? duration(one.seconds) : `${one.minutes} min`})`).join(', ')],
    ['Time to drain', site.drain_seconds === null ? '' : duration(site.drain_seconds)],
    ['Here, and not taken', `${number(site.here.files)} files, ${bytes(site.here.bytes)}`],
    ['Last round', round ? `${ago(round.ended_seconds)}, took ${number(round.took_milliseconds)} ms, began ${number(round.late_milliseconds)} ms late` : ''],
    ['Connections', number(site.connections)],
    ['Protocol', { stock: "stock's", extension: 'extension' }[site.protocol] ?? 'unknown'],
    ['Encryption', site.encryption === null ? 'unknown' : shown(site.encryption)],
    ['Its clock', site.clock ? `${clock(site.clock)} (± ${number(site.clock.uncertainty_milliseconds)} ms), seen ${ago(site.clock.seen_seconds)}` : ''],
    ['Configuration', site.configuration ? lag(site.configuration) : ''],
    ["Its certificate", site.site_certificate_days === null ? '' : `${number(site.site_certificate_days)} days left`],
    ['Our certificate', site.own_certificate_days === null ? '' : `${number(site.own_certificate_days)} days left`],
  );
  return pairs.filter(([, text]) => text !== '');
}

function drawSite(name, site) {
  setText(of('name'), shown(name));
  const problem = of('problem');
  if (!site) {
    problem.hidden = false;
    setText(problem, 'No site that is collected from has this name.');
    of('facts').replaceChildren();
    of('charts').replaceChildren();
    of('left').hidden = true;
    return;
  }
  problem.hidden = problemOf(site) === '';
  setText(problem, shown(problemOf(site), LONGEST_IN_FULL));
  const list = of('facts');
  const pairs = facts(site);
  if (list.children.length !== 2 * pairs.length) {
    list.replaceChildren(...pairs.flatMap(() => [document.createElement('dt'), document.createElement('dd')]));
  }
  pairs.forEach(([term, text], index) => {
    setText(list.children[2 * index], term);
    setText(list.children[2 * index + 1], text);
  });
  of('left').hidden = site.not_taken.length === 0;
  const files = site.not_taken.map((file) => `${shown(file.name)}: ${shown(file.reason)}`);
  if (site.not_taken_has_more) files.push('…and more');
  const items = of('files');
  while (items.children.length > files.length) items.lastChild.remove();
  while (items.children.length < files.length) items.append(document.createElement('li'));
  files.forEach((text, index) => setText(items.children[index], text));
  const history = state.history && state.history.name === name ? state.history : null;
  if (history && !history.isDrawn) {
    history.isDrawn = true;
    of('charts').replaceChildren(
      sparkline('Files waiting', history.waiting, history.step_seconds, number),
      sparkline('Age of the oldest', history.oldest_seconds, history.step_seconds, duration),
      sparkline('Collected', history.collected, history.step_seconds, number),
    );
  } else if (!history) {
    of('charts').replaceChildren();
  }
}

function draw() {
  if (!state.report) return;
  const name = routedTo();
  of('overview').hidden = name !== null;
  of('site').hidden = name === null;
  drawSummary();
  if (name === null) drawRows();
  else drawSite(name, state.report.inFull ?? state.report.sites.find((site) => site.name === name));
}

async function ask(path) {
  const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`it answers ${answer.status} ${answer.statusText}`);
  return answer.json();
}

async function refresh() {
  const name = routedTo();
  try {
    const report = await ask('status.json');
    if (report === null || report.version !== 1) throw new Error('it is of another version than this page: load it again');
    if (name !== null && report.sites.some((site) => site.name === name)) {
      const of_site = `?site=${encodeURIComponent(name)}`;
      const [inFull, history] = await Promise.all([ask(`status.json${of_site}`), ask(`history.json${of_site}`)]);
      report.inFull = inFull ? inFull.sites[0] : undefined;
      state.history = history;
    }
    // One that was asked for before another site was chosen.
    if (name !== routedTo()) return;
    state.report = report;
    state.silentSince = null;
    of('silent').hidden = true;
    document.body.classList.remove('stale');
    draw();
  } catch (error) {
    state.silentSince ??= new Date();
    of('silent').hidden = false;
    setText(of('silent'), shown(`tentacle-syncd has not answered since ${state.silentSince.toLocaleTimeString()} (${error.message}); what is shown is from before. Trying again.`));
    document.body.classList.add('stale');
    document.title = '(?) tentacle-sync';
  }
}

let timer = null;
let isAsking = false;
let isWanted = false;

async function goOn() {
  if (isAsking) {
    isWanted = true;
    return;
  }
  clearTimeout(timer);
  isAsking = true;
  const began = performance.now();
  do {
    isWanted = false;
    await refresh();
  } while (isWanted);
  isAsking = false;
  // Where asking takes long, it is done less often.
  const rest = state.silentSince ? PAUSE : Math.max(PAUSE, 10 * (performance.now() - began));
  timer = setTimeout(goOn, rest);
}

function orderBy(order) {
  state.isReversed = state.order === order && order !== 'worst' ? !state.isReversed : false;
  state.order = order;
  draw();
}

function choose(step) {
  const rows = Array.from(of('rows').children);
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next].focus();
  rows[next].scrollIntoView({ block: 'nearest' });
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const isInFilter = document.activeElement === of('filter');
  const isOverview = routedTo() === null;
  const isRow = document.activeElement && document.activeElement.parentElement === of('rows');
  if (event.key === '/' && isOverview && (!isInFilter || of('filter').value === '')) {
    of('filter').focus();
    of('filter').select();
  } else if (event.key === 'ArrowDown' && isOverview && document.activeElement !== of('order')) {
    choose(1);
  } else if (event.key === 'ArrowUp' && isOverview && !isInFilter && document.activeElement !== of('order')) {
    choose(-1);
  } else if (event.key === 'Enter' && isOverview && isRow) {
    document.activeElement.click();
  } else if (event.key === 'Enter' && isInFilter) {
    choose(1);
  } else if (event.key === 'Escape' && !isOverview) {
    location.hash = '#/';
  } else if (event.key === 'Escape' && of('filter').value !== '') {
    of('filter').value = '';
    draw();
  } else if (event.key === 'Escape' && document.activeElement) {
    document.activeElement.blur();
  } else {
    return;
  }
  event.preventDefault();
}

let wasAt = null;

window.addEventListener('hashchange', () => {
  const name = routedTo();
  const report = state.report;
  if (report) report.inFull = undefined;
  draw();
  if (name !== null) of('name').focus();
  else if (wasAt !== null && state.rows.has(wasAt)) state.rows.get(wasAt).row.focus();
  wasAt = name;
  goOn();
});
document.addEventListener('keydown', pressed);
document.addEventListener('visibilitychange', () => { if (!document.hidden) goOn(); });
of('filter').addEventListener('input', draw);
of('order').addEventListener('change', (event) => orderBy(event.target.value));
for (const button of document.querySelectorAll('th button')) button.addEventListener('click', () => orderBy(button.dataset.order));
wasAt = routedTo();
goOn();
