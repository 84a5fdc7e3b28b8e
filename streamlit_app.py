"""The frame: the server's door, page config, navigation, words for what is damaged. Start: streamlit run streamlit_app.py"""

from pathlib import Path

import streamlit as st

from pages.parts import screen

if __name__ != "__main__":  # the server imports this file, and finds `app`; each session runs it as its script
    from starlette.middleware import Middleware

    from pages.parts.door import Door

    app = st.App(Path(__file__).resolve(), middleware=[Middleware(Door)])
else:
    st.set_page_config(page_title="Duet", page_icon=str(Path(__file__).with_name("docs") / "icon.png"), layout="wide")
    st.html("<style>.stMainBlockContainer {padding-top: 4.5rem; padding-bottom: 3rem}</style>")  # the theme has no say in it
    st.session_state["is_framed"] = True
    page = st.navigation([
        st.Page("pages/start.py", title="Start", icon=":material/home:", default=True),
        st.Page("pages/data.py", title="Data", icon=":material/photo_library:"),
        st.Page("pages/train.py", title="Train", icon=":material/play_circle:"),
        st.Page("pages/watch.py", title="Watch", icon=":material/monitoring:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare:"),
        st.Page("pages/explore.py", title="Explore", icon=":material/travel_explore:"),
        st.Page("pages/export.py", title="Export", icon=":material/download:"),
    ], position="top")
    screen.sweep()
    with screen.frame():
        page.run()
