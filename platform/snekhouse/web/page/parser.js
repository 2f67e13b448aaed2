self.onmessage=s=>self.postMessage(JSON.parse(s.data));
