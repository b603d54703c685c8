"""The console in a real browser, on a real relay and a real Redis."""

import json
import subprocess
import urllib.parse

import pytest

import jose
import png
from harness import wait_until
from settings import ROOT
from webdriver import BACKSPACE, CONTROL, DOWN, ENTER

README = (ROOT / "README.md").read_text()

MARKUP = "<img src=x onerror=\"window.pwned = true\"><script>window.pwned = true</script>"
HOSTILE = "it's a \"$HOME\" `id` \\ $(id) & topic;#?%+é 猫"

ROWS = """
return [...document.querySelectorAll('#rows > tr')].filter((row) => !row.hidden).map((row) => Object.fromEntries(
  [['kind', row.dataset.kind ?? 'event'], ...[...row.cells].map((cell) => [cell.classList[0], cell.textContent])]))
"""
CHIPS = "return [...document.querySelectorAll('#topics .text')].map((chip) => chip.textContent)"


def query(*topics):
    return "&".join("topic=" + urllib.parse.quote(topic, safe="") for topic in topics)


def open_console(browser, relay, *topics):
    """The page, watching @topics, once it is live."""
    browser.open(f"{relay.url}/?{query(*topics)}" if topics else f"{relay.url}/")
    wait_state(browser, "live")


def wait_state(browser, state):
    browser.wait("return document.getElementById('state-text').textContent === arguments[0]", state)


def wait_row(browser, **expected):
    """The first row whose cells hold what is expected."""
    def look():
        rows = browser.script(ROWS)
        return next((row for row in rows if expected.items() <= row.items()), None)

    return wait_until(look, f"a row with {expected} in\n{browser.summary()}\n")


def number(browser, selector):
    return int(browser.text(selector).replace(",", ""))


def wait_number(browser, selector, least):
    return wait_until(lambda: number(browser, selector) >= least, f"{selector} of at least {least}")


# ---- the page and its policy ----


def test_loads_without_complaint_and_without_foreign_requests(browser, relay):
    open_console(browser, relay)
    assert browser.log() == []
    fetched = browser.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {f"{relay.url}/{name}" for name in ("console.js", "words.js", "console.css")} <= set(fetched)
    assert [url for url in fetched if not url.startswith((relay.url, "data:"))] == []


def test_policy_stops_inline_script_and_style(browser, relay):
    open_console(browser, relay)
    browser.script("""
        const script = document.createElement('script');
        script.textContent = 'window.pwned = true';
        document.body.append(script);
        document.body.setAttribute('style', 'outline: 7px solid red');
    """)
    assert browser.script("return window.pwned === undefined")
    assert browser.script("return getComputedStyle(document.body).outlineWidth") != "7px"
    assert sum("Content Security Policy" in message for _, message in browser.log()) >= 2


def test_every_control_has_a_name(browser, relay):
    open_console(browser, relay, "a")
    browser.devtools("Accessibility.enable")
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "textbox", "combobox", "searchbox", "spinbutton", "checkbox", "image")
    controls = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
    assert {n["role"]["value"] for n in controls} == set(roles)
    assert [n["role"]["value"] for n in controls if not n["name"]["value"]] == []


# ---- topics and state ----


def test_suggests_two_topics_and_opens_them(browser, relay):
    open_console(browser, relay)
    assert browser.script(CHIPS) == ["time", "letters"]
    assert json.loads(wait_row(browser, name="relay.live", kind="live")["data"]) == {"topics": ["time", "letters"]}


def test_topics_come_from_the_address_and_go_back_into_it(browser, relay):
    browser.open(f"{relay.url}/?topics=one,two&topic=with,comma")
    wait_state(browser, "live")
    assert browser.script(CHIPS) == ["one", "two", "with,comma"]
    browser.type("#topic-input", "three, four" + ENTER)
    wait_state(browser, "live")
    address = browser.script("return location.search")
    assert urllib.parse.parse_qs(address[1:]) == {"topic": ["one", "two", "with,comma", "three", "four"]}
    browser.open(relay.url + "/" + address)
    assert browser.script(CHIPS) == ["one", "two", "with,comma", "three", "four"]


def test_removing_topics_resubscribes_and_the_last_one_closes(browser, relay):
    open_console(browser, relay, "stays", "goes")
    browser.click("#topics li:nth-child(2) button")
    wait_row(browser, kind="live", data='{"topics":["stays"]}')
    browser.click("#topic-input")
    browser.press(BACKSPACE)
    wait_state(browser, "closed")
    assert browser.script(CHIPS) == []
    assert "at least one topic" in browser.text("#notice")


def test_refused_stream_shows_the_relays_sentence(browser, relay):
    browser.open(f"{relay.url}/?{query('no*stars')}")
    wait_state(browser, "closed")
    browser.wait("return /[Tt]opic 1/.test(document.getElementById('notice').textContent)")
    problem = json.loads(relay.get(f"/sse?{query('no*stars')}").body)
    assert browser.text("#notice") == problem["detail"]


def test_a_refused_topic_is_not_added_and_the_stream_goes_on(browser, relay, redis):
    open_console(browser, relay, "kept")
    browser.type("#topic-input", "fine, relay.x" + ENTER)
    browser.wait("return !document.getElementById('notice').hidden")
    problem = json.loads(relay.get(f"/sse?{query('fine', 'relay.x', 'kept')}").body)
    assert browser.text("#notice") == problem["detail"]
    assert browser.script(CHIPS) == ["kept"]
    assert "relay.x" not in browser.text("#curl") + browser.text("#javascript") + browser.script("return location.href")
    assert browser.script("return document.getElementById('topic-input').value") == "fine, relay.x"  # to be corrected
    assert browser.text("#state-text") == "live"
    redis.publish("kept", "still here")
    wait_row(browser, topic="kept", data="still here")
    assert [row["kind"] for row in browser.script(ROWS)].count("live") == 1  # the stream of before

    browser.fill("#topic-input", "fine")
    browser.press(ENTER)
    wait_row(browser, kind="live", data='{"topics":["kept","fine"]}')
    assert browser.script("return document.getElementById('notice').hidden")


def test_no_rate_is_shown_while_closed(browser, relay, redis):
    open_console(browser, relay, "once")
    for n in range(20):
        redis.publish("once", str(n))
    browser.wait("return document.getElementById('rate').textContent !== '0'")
    browser.script("const now = performance.now(); performance.now = () => now")  # so that no mean runs out
    browser.click("#connect")
    wait_state(browser, "closed")
    browser.wait("return document.getElementById('rate').textContent === '0'")


def test_disconnect_and_connect(browser, relay, redis):
    open_console(browser, relay, "switch")
    browser.click("#connect")
    wait_state(browser, "closed")
    browser.click("#connect")
    wait_state(browser, "live")
    redis.publish("switch", "after")
    wait_row(browser, topic="switch", data="after")


# ---- what arrives ----


def test_an_event_published_through_redis_is_shown(browser, relay, redis):
    open_console(browser, relay, "news", "other")
    redis.publish("news", "hello")
    row = wait_row(browser, topic="news", data="hello")
    assert (row["kind"], row["name"], row["id"]) == ("event", "message", "")
    assert len(row["time"]) == len("12:34:56.789")


def test_event_names_are_shown_whatever_they_are(browser, relay, redis):
    open_console(browser, relay, "orders")
    redis.publish("orders", 'sse1 - - {"event":"order.paid","data":"42"}')
    wait_row(browser, topic="orders", name="order.paid", data="42", id="")


def post(relay, query, data):
    """The id of a durable event on the one topic of @query."""
    (found,) = json.loads(relay.post(f"/sse?{query}", data.encode()).body)["ids"].values()
    return found


def replay(browser, start):
    browser.script("""
        const control = document.getElementById('replay');
        control.value = arguments[0];
        control.dispatchEvent(new Event('change', { bubbles: true }));
    """, start)


def events(browser):
    return [row["data"] for row in browser.script(ROWS) if row["kind"] == "event"]


def test_ids_are_shown(browser, relay, redis):
    open_console(browser, relay, "ledger")
    published = post(relay, "topic=ledger", "entry")
    wait_row(browser, topic="ledger", name="message", data="entry", id=published)
    redis.publish("ledger", "live event")
    wait_row(browser, data="live event", id="")
    wait_row(browser, kind="ping", id="")


def test_kept_events_are_replayed_on_demand(browser, relay):
    for n in range(12):
        post(relay, "topic=kept", f"number {n}")
    open_console(browser, relay, "kept")
    assert events(browser) == []
    replay(browser, "last=10")
    wait_row(browser, data="number 2")
    wait_state(browser, "live")
    assert events(browser) == [f"number {n}" for n in range(11, 1, -1)]
    post(relay, "topic=kept", "afterwards")
    wait_row(browser, data="afterwards")
    replay(browser, "since=0")
    wait_row(browser, data="number 0")
    wait_state(browser, "live")
    assert events(browser) == ["afterwards", *(f"number {n}" for n in range(11, -1, -1))]
    assert browser.script("return document.getElementById('replay').value") == ""
    assert browser.text("#resets") == "0"


def test_connect_goes_on_where_disconnect_was(browser, relay):
    open_console(browser, relay, "absence")
    post(relay, "topic=absence", "seen")
    wait_row(browser, data="seen")
    browser.click("#connect")
    wait_state(browser, "closed")
    post(relay, "topic=absence", "while away")
    browser.click("#connect")
    wait_row(browser, data="while away")
    assert events(browser) == ["while away", "seen"]


def test_markup_stays_text(browser, relay, redis):
    topic = "<b onmouseover=alert(1)>"
    open_console(browser, relay, topic)
    redis.publish(topic, "sse1 - - " + json.dumps({"event": MARKUP, "data": MARKUP}))
    wait_row(browser, topic=topic, name=MARKUP, data=MARKUP)
    assert browser.script(CHIPS) == [topic]
    assert browser.script("return document.querySelectorAll('img, #rows script, #topics b').length") == 0
    assert browser.script("return window.pwned === undefined")
    assert browser.log() == []


def test_lines_of_data_unfold_by_key_and_by_click(browser, relay, redis):
    open_console(browser, relay, "poem")
    redis.publish("poem", "first\nsecond\nthird")
    wait_row(browser, topic="poem", data="first\nsecond\nthird")
    height = "return [...document.querySelectorAll('#rows tr')].find((r) => !r.dataset.kind).offsetHeight"
    folded = browser.script(height)
    browser.click("#pause")  # so that no heartbeat moves the rows
    browser.script("document.getElementById('scroll').focus()")
    while browser.script("return document.activeElement.dataset.kind ?? document.activeElement.id"):
        browser.press(DOWN)
    browser.press(ENTER)
    assert browser.script(height) > 2 * folded
    browser.click("#rows tr:not([data-kind]) .data")
    assert browser.script(height) == folded


def test_long_data_is_cut_and_says_so(browser, relay, redis):
    open_console(browser, relay, "long")
    redis.publish("long", "x" * 300_000)
    wait_number(browser, "#received", 1)
    data = wait_row(browser, topic="long")["data"]
    assert data == "x" * 4096 + " … (300,000 characters)"


def test_heartbeats_in_a_row_are_one_row(browser, relay):
    open_console(browser, relay, "quiet")
    first = wait_row(browser, kind="ping", name="relay.ping")
    wait_until(lambda: wait_row(browser, kind="ping")["time"] != first["time"], "a second heartbeat")
    assert [row["kind"] for row in browser.script(ROWS)] == ["ping", "live"]


def test_pause_filter_and_clear(browser, relay, redis):
    open_console(browser, relay, "apples", "pears")
    redis.publish("apples", "one")
    wait_row(browser, data="one")

    browser.click("#pause")
    redis.publish("pears", "two")
    browser.wait("return /Resume \\(\\d+\\)/.test(document.getElementById('pause').textContent)")
    wait_number(browser, "#received", 2)
    assert "two" not in [row["data"] for row in browser.script(ROWS)]
    browser.click("#pause")
    wait_row(browser, data="two")

    browser.fill("#filter", "PEARS")
    redis.publish("apples", "three")
    redis.publish("pears", "four")
    wait_row(browser, data="four")
    rows = browser.script(ROWS)
    assert [row["data"] for row in rows if row["kind"] == "event"] == ["four", "two"]
    assert "live" in [row["kind"] for row in rows]  # notices pass every filter

    browser.click("#clear")
    browser.wait("return ![...document.querySelectorAll('#rows > tr')].some((row) => !row.dataset.kind)")


def test_a_flood_is_counted_in_full_and_kept_in_part(browser, relay, redis):
    open_console(browser, relay, "flood")
    with redis.client() as client:
        for start in range(0, 3000, 250):
            client.pipeline([("PUBLISH", "sse:flood", f"{n} {'x' * 50}") for n in range(start, start + 250)])
            wait_number(browser, "#received", start + 250)
    wait_row(browser, data=f"2999 {'x' * 50}")
    assert number(browser, "#received") == 3000
    assert browser.script("return document.querySelectorAll('#rows > tr').length") == 500
    shown = [int(row["data"].split()[0]) for row in browser.script(ROWS) if row["kind"] == "event"]
    assert shown == list(range(2999, 2999 - len(shown), -1))


# ---- the plot ----


def test_the_plot_draws_what_arrives(browser, relay, redis):
    open_console(browser, relay, "red", "blue")
    colours = browser.script("""
        const style = getComputedStyle(document.body);
        return ['--c0', '--c1'].map((name) => style.getPropertyValue(name).trim());
    """)
    wanted = [tuple(bytes.fromhex(colour[1:])) for colour in colours]

    def drawn():
        seen = [pixel for row in png.pixels(browser.screenshot("#plot")) for pixel in row]
        return [seen.count(colour) for colour in wanted], len(set(seen))

    (before, _) = drawn()
    assert before == [0, 0]
    for _ in range(30):
        redis.publish("red", "x")
    for _ in range(10):
        redis.publish("blue", "x")
    wait_number(browser, "#received", 40)
    # A bar takes its full colour when its second is over. Bars are some 14 by 100 pixels, here in parts 3 : 1.
    wait_until(lambda: all(n > 50 for n in drawn()[0]), "two colours in the plot")
    (red, blue), distinct = drawn()
    assert red > blue
    assert distinct > 4
    assert browser.text("#readout").startswith("peak ")


def test_the_plot_is_sharp_on_a_dense_screen(browser, relay):
    browser.resize(800, 700, scale=2)
    open_console(browser, relay)
    browser.wait("const plot = document.getElementById('plot'); return plot.width === 2 * plot.clientWidth")
    assert browser.script("const plot = document.getElementById('plot'); return plot.height === 2 * plot.clientHeight")


# ---- when things break ----


def test_a_killed_relay_is_reconnected_to(browser, start_relay, redis):
    first = start_relay()
    open_console(browser, first, "survivor")
    assert number(browser, "#reconnects") == 0
    first.expect_clean = False
    first.kill()
    wait_state(browser, "reconnecting")
    second = start_relay(listen="%s:%d" % first.address)
    wait_state(browser, "live")
    wait_until(lambda: number(browser, "#reconnects") == 1, "one reconnect")
    redis.publish("survivor", "still here")
    wait_row(browser, topic="survivor", data="still here")
    assert second.running


def test_a_lost_redis_connection_shows_a_reset(browser, start_relay, redis):
    relay = start_relay()
    open_console(browser, relay, "fragile")
    assert browser.text("#resets") == "0"
    redis.publish("fragile", "live event")
    wait_row(browser, data="live event")
    redis("CLIENT", "KILL", "TYPE", "pubsub")
    row = wait_row(browser, kind="reset", name="relay.reset", topic="fragile")
    assert row["data"].startswith("live: ")
    browser.wait("return document.getElementById('resets').textContent === '1'")
    assert browser.text("#state-text") == "live"
    background, plain = browser.script("""
        return ['[data-kind=reset]', ':not([data-kind])'].map((kind) =>
          getComputedStyle(document.querySelector('#rows tr' + kind)).backgroundColor)
    """)
    assert background != plain


def test_an_emptied_redis_is_told_in_words(browser, start_relay, own_redis):
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url)
    open_console(browser, relay, "emptied")
    post(relay, "topic=emptied", "before")
    wait_row(browser, data="before")
    browser.click("#connect")
    wait_state(browser, "closed")
    own_redis("FLUSHALL")
    published = post(relay, "topic=emptied", "after")
    browser.click("#connect")
    row = wait_row(browser, kind="reset", topic="emptied")
    assert row["data"].startswith("birth: ") and "emptied" in row["data"]
    assert row["id"].split(".")[0] == published.split(".")[0]


# ---- publishing ----


def test_publishing_from_the_form(browser, relay, redis):
    open_console(browser, relay, "form", "second")
    browser.fill("#publish-topic", "form")
    browser.fill("#publish-event", "greeting & co")
    browser.fill("#publish-retry", "1500")
    browser.fill("#publish-data", MARKUP)
    browser.click("#publish-send")
    wait_row(browser, topic="form", name="greeting & co", data=MARKUP)
    browser.wait("return document.getElementById('answer').className === 'good'")
    assert "form" in browser.text("#answer")

    browser.fill("#publish-topic", "form, second")
    browser.fill("#publish-data", "to both")
    browser.press(CONTROL, ENTER)
    wait_row(browser, topic="form", data="to both")
    wait_row(browser, topic="second", data="to both")


def test_publishing_durable_and_live(browser, relay):
    open_console(browser, relay, "switch.a")
    browser.fill("#publish-data", "kept")
    browser.fill("#publish-key", "a key & more")
    browser.click("#publish-send")
    row = wait_row(browser, topic="switch.a", data="kept")
    assert row["id"]
    browser.wait("return document.getElementById('answer').textContent.includes(arguments[0])", row["id"])
    browser.fill("#publish-data", "other")
    browser.click("#publish-send")
    browser.wait("return document.getElementById('answer').textContent.startsWith('409: ')")

    browser.click("#publish-durable")
    assert browser.script("return document.getElementById('publish-key').disabled")
    browser.click("#publish-send")
    wait_row(browser, topic="switch.a", data="other", id="")
    browser.wait("return document.getElementById('answer').textContent.includes('no id')")


def test_a_refused_publish_shows_the_relays_sentence(browser, relay):
    open_console(browser, relay, "form")
    browser.fill("#publish-event", "error")
    browser.click("#publish-send")
    browser.wait("return document.getElementById('answer').className === 'bad'")
    problem = json.loads(relay.post("/sse?topics=form&event=error", b"Hello").body)
    assert browser.text("#answer") == f"400: {problem['detail']}"


def test_publishing_without_permission_says_how_to_get_it(browser, start_relay):
    relay = start_relay()
    open_console(browser, relay, "form")
    browser.click("#publish-send")
    browser.wait("return document.getElementById('answer').className === 'bad'")
    assert browser.text("#answer").startswith("403: ")
    assert "--allow-anonymous-publish" in browser.text("#answer")


# ---- lines to take away ----


def copied(browser, relay, selector):
    browser.devtools("Browser.grantPermissions", origin=relay.url,
                     permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.click(selector)
    browser.wait("return document.querySelector(arguments[0]).textContent === 'Copied'", selector)
    return browser.script("return navigator.clipboard.readText()")


def shell_words(line):
    """What POSIX sh makes of @line, each word on its own."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


def test_the_curl_line_survives_the_shell(browser, relay):
    open_console(browser, relay, HOSTILE, "plain")
    line = copied(browser, relay, "[data-copy=curl]")
    words = shell_words(line)
    assert words[:2] == ["curl", "-N"] and len(words) == 3
    address = urllib.parse.urlsplit(words[2])
    assert f"{address.scheme}://{address.netloc}{address.path}" == relay.url + "/sse"
    assert urllib.parse.parse_qs(address.query) == {"topics": [f"{HOSTILE},plain"]}

    process = subprocess.Popen(["sh", "-c", f"exec {line} -s"], stdout=subprocess.PIPE)
    try:
        live = next(said for said in process.stdout if said.startswith(b"data: "))
        assert json.loads(live[len(b"data: "):]) == {"topics": [HOSTILE, "plain"]}
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("data", ["@/etc/hostname", "it's \"$HOME\" `id` \\ $(id)\nsecond line", "", "-x"])
def test_the_curl_line_for_publishing_survives_the_shell(browser, relay, data):
    open_console(browser, relay, HOSTILE)
    browser.fill("#publish-topic", HOSTILE)
    browser.script("document.getElementById('publish-data').value = arguments[0]", data)
    line = copied(browser, relay, "#publish-copy")
    done = subprocess.run(["sh", "-c", f"{line} -sS"], capture_output=True, check=True)
    ids = json.loads(done.stdout)["ids"]
    assert list(ids) == [HOSTILE]
    wait_row(browser, topic=HOSTILE, data=data, id=ids[HOSTILE])


def test_the_javascript_runs_as_it_is(browser, relay, redis):
    open_console(browser, relay, HOSTILE)
    source = copied(browser, relay, "[data-copy=javascript]")
    browser.script("window.said = []; console.log = (...words) => window.said.push(words); " + source
                   + " source.addEventListener('relay.live', () => window.said.push('live'));")
    browser.wait("return window.said.includes('live')")
    redis.publish(HOSTILE, "hello")
    browser.wait("return window.said.length === 2")
    assert browser.script("return window.said[1]") == [HOSTILE, None, "hello"]


# ---- screens ----


def test_no_sideways_scrolling_at_any_width(browser, relay, redis):
    topic = "a.rather.long.topic." + "x" * 120
    browser.resize(360, 740, scale=2, mobile=True)
    open_console(browser, relay, "short", topic)
    redis.publish(topic, "wide" * 500)
    wait_row(browser, topic=topic)
    for width in (360, 320, 768, 1000, 1600):
        browser.resize(width, 740, scale=2, mobile=width < 700)
        browser.wait("return innerWidth === arguments[0]", width)
        assert browser.script("return document.documentElement.scrollWidth") == width
        assert browser.script("""
            return [...document.querySelectorAll('button, input, select, textarea, canvas')].filter((element) => {
              const box = element.getBoundingClientRect();
              return box.width && (box.left < 0 || box.right > innerWidth);
            }).map((element) => element.id)
        """) == []


def test_dark_and_light(browser, relay):
    browser.colour_scheme("light")
    open_console(browser, relay)
    light = png.brightness(browser.screenshot())
    browser.colour_scheme("dark")
    dark = png.brightness(browser.screenshot())
    assert light > 200 and dark < 60


# ---- tokens ----


def test_a_token_opens_what_needs_one(browser, start_relay, tmp_path):
    """Without it the page says why there is no stream; with it streams open and events go out; and it stands nowhere else."""
    secret = jose.Secret(tmp_path)
    relay = start_relay("--token-secret-file", secret.path, "--public", "open")
    browser.open(f"{relay.url}/?topics=orders")
    browser.wait("return document.getElementById('notice').textContent.includes('needs a token')")
    browser.open(f"{relay.url}/?topics=open")
    wait_state(browser, "live")
    browser.open(f"{relay.url}/?topics=orders")
    browser.wait("return document.getElementById('notice').textContent.includes('needs a token')")
    reader = jose.token(secret, subscribe=["orders"])
    browser.type("#token", reader + ENTER)
    wait_state(browser, "live")
    browser.fill("#publish-data", "by token")
    browser.click("#publish-send")
    browser.wait("return document.getElementById('answer').textContent.startsWith('403: ')")
    writer = jose.token(secret, subscribe=["orders"], publish=["orders"])
    browser.fill("#token", writer)
    browser.type("#token", ENTER)
    wait_state(browser, "live")
    browser.click("#publish-send")
    wait_row(browser, data="by token", topic="orders")
    for part in (reader, writer):
        assert part not in browser.script("return location.href + document.body.innerText + JSON.stringify({...localStorage, ...sessionStorage})")
    assert "$TOKEN" in browser.text("#curl")
    expired = jose.token(secret, subscribe=["orders"], ttl=-100)
    browser.fill("#token", expired)
    browser.type("#token", ENTER)
    browser.wait("return document.getElementById('notice').textContent.includes('expired')")


def test_the_readme_page_comes_back_with_a_new_token(browser, start_relay, tmp_path):
    """A stream that ends with its token goes on with the next one, as the README has it, and from where it was: what was published
    in between is not lost."""
    secret = jose.Secret(tmp_path)
    relay = start_relay("--token-secret-file", secret.path)
    first, second = (jose.token(secret, subscribe=["users.7.inbox"], publish=["users.7.inbox"], ttl=ttl) for ttl in (-27, 600))
    section = README.partition("## Or by token")[2]
    snippet = section.partition("```js\n")[2].partition("```")[0]
    assert "function open(token, last)" in snippet and "/my-application/token" in snippet
    browser.open(f"{relay.url}/healthz")
    browser.script("""
        const asked = [];
        window.asked = asked;
        const given = new Promise((resolve) => { window.give = resolve; });
        const token = arguments[1];
        window.fetch = async (url) => { asked.push(url); await given; return new Response(token); };
        const seen = [];
        window.seen = seen;
        console.log = (text) => seen.push(text);
        (new Function(arguments[0] + '; return open'))()(arguments[2]);
    """, snippet, second, first)
    browser.wait("return window.asked.length === 1 && window.asked[0] === '/my-application/token'", seconds=90)

    relay.post("/sse?topic=users.7.inbox", b"meanwhile", [("Authorization", f"Bearer {second}")])
    browser.script("window.give()")
    wait_until(lambda: browser.script("return window.seen.length > 0"), "what was published while nobody read")
    relay.post("/sse?topic=users.7.inbox", b"again", [("Authorization", f"Bearer {second}")])
    wait_until(lambda: "again" in browser.script("return window.seen"), "an event with the second token")
    assert browser.script("return window.seen") == ["meanwhile", "again"]
