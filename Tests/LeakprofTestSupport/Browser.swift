/// A headless Chromium that is driven over its debugging pipe, as a person would: keys, clicks, settings.
package enum Browser {
    /// Opens a file and does what `steps` say, each a JSON object; returns what the steps returned, a line
    /// each, strings as they are and the rest as JSON; then what the page said on its console and what it
    /// asked from anywhere else, as JSON.
    ///
    /// The window is 1300 pixels wide.
    ///
    /// Steps: `{"eval": JavaScript}` returns its value, with `"waits": true` what its promise comes to; `{"key": NAME}` presses one; `{"click": SELECTOR}`;
    /// `{"dark": true}`; `{"width": PIXELS}`; `{"scripts": false}` and `{"open": URL}` open the page anew; `{"names": true}` returns role
    /// and name of everything in the accessibility tree.
    package static func run(_ path: String, fragment: String = "", steps: [String]) async throws
        -> [String]
    {
        let directory = try TemporaryDirectory(in: "/tmp")
        let output = try await Programs.succeed(
            "python3", ["-c", driver, directory.path, "file://\(path)\(fragment)"] + steps,
            environment: ["HOME": directory.path])
        return output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .map(String.init)
    }

    private static let driver = #"""
        import json, os, subprocess, sys
        folder, url = sys.argv[1:3]
        to_browser, requests = os.pipe()
        answers, from_browser = os.pipe()
        def descriptors():
            # Through numbers that are not 3 or 4 themselves.
            first, second = os.dup2(to_browser, 103), os.dup2(from_browser, 104)
            os.dup2(first, 3)
            os.dup2(second, 4)
        browser = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", "--window-size=1300,1000", f"--user-data-dir={folder}/profile", "about:blank"],
            preexec_fn=descriptors, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        reader = os.fdopen(answers, "rb")
        buffered, number, session, said, asked, loaded = b"", 0, None, [], [], set()
        def receive():
            global buffered
            while b"\0" not in buffered:
                piece = os.read(answers, 1 << 16)
                if not piece: sys.exit("the browser ended")
                buffered += piece
            message, buffered = buffered.split(b"\0", 1)
            message = json.loads(message)
            method, values = message.get("method"), message.get("params", {})
            if method == "Page.lifecycleEvent" and values["name"] == "load": loaded.add(values["loaderId"])
            if method == "Runtime.exceptionThrown": said.append(values["exceptionDetails"]["text"])
            if method == "Runtime.consoleAPICalled": said.append(str(values["args"]))
            if method == "Log.entryAdded": said.append(values["entry"]["text"])
            if method == "Network.requestWillBeSent": asked.append(values["request"]["url"])
            return message
        def call(method, **values):
            global number
            number += 1
            message = {"id": number, "method": method, "params": values}
            if session: message["sessionId"] = session
            os.write(requests, json.dumps(message).encode() + b"\0")
            while True:
                answer = receive()
                if answer.get("id") == number:
                    if "error" in answer: sys.exit(f"{method}: {answer['error']}")
                    return answer["result"]
        def open_page(address):
            # By way of another page: a new fragment alone does not open a page anew.
            for place in ["about:blank", address]:
                loader = call("Page.navigate", url=place)["loaderId"]
                while loader not in loaded: receive()
        def evaluate(text, waits=False):
            result = call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=waits)
            if "exceptionDetails" in result: sys.exit(f"{text}: {result['exceptionDetails']}")
            return result["result"].get("value")
        codes = {"Enter": 13, "Escape": 27, "Backspace": 8, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37,
                 "ArrowRight": 39, "Home": 36, "Tab": 9}
        target = call("Target.createTarget", url="about:blank")["targetId"]
        session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"]: call(domain + ".enable")
        call("Page.setLifecycleEventsEnabled", enabled=True)
        open_page(url)
        for step in map(json.loads, sys.argv[3:]):
            if "eval" in step:
                value = evaluate(step["eval"], step.get("waits", False))
                print(value.replace("\n", " ") if isinstance(value, str) else json.dumps(value))
            if "key" in step:
                key = step["key"]
                values = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
                if len(key) == 1 and not step.get("control"): values["text"] = key
                if key == "Enter": values["text"] = "\r"
                call("Input.dispatchKeyEvent", type="keyDown", modifiers=2 if step.get("control") else 0, **values)
                call("Input.dispatchKeyEvent", type="keyUp", key=key)
            if "click" in step:
                x, y = evaluate("(r => [r.x + r.width / 2, r.y + r.height / 2])(%s.getBoundingClientRect())" % step["click"])
                for kind in ["mousePressed", "mouseReleased"]:
                    call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
            if "dark" in step:
                call("Emulation.setEmulatedMedia", features=[
                    {"name": "prefers-color-scheme", "value": "dark" if step["dark"] else "light"}])
            if "width" in step:
                call("Emulation.setDeviceMetricsOverride", width=step["width"], height=1000, deviceScaleFactor=1, mobile=False)
            if "scripts" in step:
                call("Emulation.setScriptExecutionDisabled", value=not step["scripts"])
                open_page(url)
            if "open" in step: open_page(url.split("#")[0] + step["open"])
            if "names" in step:
                nodes = call("Accessibility.getFullAXTree")["nodes"]
                print(json.dumps([
                    node.get("role", {}).get("value", "") + ": " + str(node.get("name", {}).get("value", ""))
                    + " | " + str(node.get("description", {}).get("value", ""))
                    for node in nodes if not node.get("ignored")], ensure_ascii=False))
        print(json.dumps(said))
        print(json.dumps(sorted(address for address in set(asked) if not address.startswith((url.split("#")[0], "about:")))))
        browser.kill()
        browser.wait()
        """#
}
