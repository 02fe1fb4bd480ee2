import gzip

import pytest

from ssl_zoo.data.text.dictionaries import INSIDE, read_dictionary, read_translations, translations_in
from ssl_zoo.errors import InputError

ENTRIES = {
    "00-database-info": "FreeDict\nabout, it",
    "account": "account /əkaunt/\n1. facture\n2. faire-part, renseignement\n3. êtred'avis, penser que\n10. compte\n",
    "Intent": 'intent\nAbsicht <fem>, Vorsatz <masc> [jur.]\n      "an intent"  - eine Absicht\n see: {plan}\n',
    "intent": "intent /x/\nZweck; Absicht (einer Sache)\n",
    "empty": "empty /x/\n   \n",
    "zoo": "zoo\n動物園, зоопарк\n",
}
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def base64(number):
    digits = DIGITS[number % 64]
    return digits if number < 64 else base64(number // 64) + digits


def write(folder, name="freedict-eng-deu", entries=ENTRIES):
    folder.mkdir(parents=True, exist_ok=True)
    body, index = b"", ""
    for head, text in entries.items():
        index += f"{head}\t{base64(len(body))}\t{base64(len(text.encode()))}\n"
        body += text.encode()
    (folder / f"{name}.index").write_text(index, encoding="utf-8")
    (folder / f"{name}.dict.dz").write_bytes(gzip.compress(body))
    return folder / f"{name}.index", folder / f"{name}.dict.dz"


def test_translations_are_single_words_without_numbers_remarks_and_examples():
    assert translations_in(ENTRIES["account"]) == ["facture", "renseignement", "compte"]
    assert translations_in(ENTRIES["Intent"]) == ["absicht", "vorsatz"]
    assert translations_in("alone") == translations_in("") == []


def test_words_that_are_asked_for_are_looked_up_whatever_their_capitals(tmp_path):
    found = read_dictionary(*write(tmp_path), {"intent", "zoo", "empty", "absent"})
    assert found == {"intent": ["absicht", "vorsatz", "zweck"], "zoo": ["動物園", "зоопарк"]}


def test_a_language_is_found_in_its_package(tmp_path):
    write(tmp_path / INSIDE)
    assert read_translations("de-DE", {"zoo"}, str(tmp_path)) == {"zoo": ["動物園", "зоопарк"]}
    with pytest.raises(InputError, match="There is no dictionary of xx-XX: choose among ar-MA, de-DE"):
        read_translations("xx-XX", {"zoo"}, str(tmp_path))
    with pytest.raises(InputError, match=r"There is no .*freedict-eng-fra"):
        read_translations("fr-FR", {"zoo"}, str(tmp_path))


def test_damaged_dictionaries_are_named(tmp_path):
    index, entries = write(tmp_path)
    whole = entries.read_bytes()
    entries.write_bytes(whole[:-9])
    with pytest.raises(InputError, match="is damaged"):
        read_dictionary(index, entries, {"zoo"})
    entries.write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="is damaged"):
        read_dictionary(index, entries, {"zoo"})
    entries.write_bytes(whole)
    for line in ("zoo\tB\t//\n", "zoo\n", "zoo\t?\tB\n"):
        index.write_text(line)
        with pytest.raises(InputError, match="is damaged"):
            read_dictionary(index, entries, {"zoo"})
    index.write_bytes("zoo\tB\tC\n".encode("utf-16"))
    with pytest.raises(InputError, match="is damaged"):
        read_dictionary(index, entries, {"zoo"})


@pytest.mark.slow  # fetches 0.1 MB
def test_the_package_has_the_translations_of_common_words():
    found = read_translations("fr-FR", {"house", "water", "bread"})
    assert "maison" in found["house"] and "eau" in found["water"] and "pain" in found["bread"]
