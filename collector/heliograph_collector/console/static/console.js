// Keeps the page true without reloading it: the server says that something changed, we ask again and swap.
"use strict";
