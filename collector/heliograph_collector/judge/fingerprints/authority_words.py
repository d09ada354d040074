"""Words for an authority or a law, which count only beside another sign of a lie.

A notice says that access is barred and by whom, and there are more words for the first than any
list has. Where the site's own server cannot have answered, naming an authority is enough. Saying
that access is barred is not: the filters of houses and offices say that too.
"""

from collections.abc import Iterable

from heliograph_collector.judge.fingerprints.fingerprint import Fingerprint
from heliograph_collector.judge.fingerprints.page_text import (
    PageText,
    extract_words,
    normalize_markup,
)

# Beginnings of words of those who speak to their own visitor: schools, offices and libraries,
# virus scanners, pages that ask for money, a login or a registration, hosting companies, and
# servers under maintenance. By our reading of local_filters.csv and look_alikes.yml; a provider's
# notice has none of them, but may well call itself a company and its reader a subscriber.
VISITOR_WORDS = tuple(
    word
    for line in (
        "school|universit|college|librar|campus|teacher|student|employe|workplace|corporate",
        "administrator|use policy|helpdesk|parental|malware|phishing|virus|password|login|sign in",
        "payment|unpaid|invoice|your bill|balance|recharge|top up|your sim|your line|register your",
        "verify|your account|your age|hosting|maintenance|cookie|your website|your site",
        "escuela|colegio|universidad|biblioteca|administrador|su cuenta|contraseña|saldo|recarga",
        "factura|pago|mantenimiento|escola|sua conta|senha|fatura|pagamento|manutenção",
        "école|lycée|bibliothèque|administrateur|votre compte|mot de passe|paiement|facture",
        "schule|bibliothek|ihr konto|passwort|rechnung|zahlung|wartung|jugendschutz",
        "scuola|amministratore|fattura|manutenzione|okul|üniversite|kütüphane|yönetici|hesab",
        "hesap|şifre|ödeme|bakimda|bakiye|borç|kimlik doğrulama|telefon numara",
        "школ|университет|библиотек|администратор|аккаунт|пароль|оплат|неуплат|баланс|ваш счет",
        "задолжен|заборгован|пополн|хостинг|обслуживан|личный кабинет|личном кабинет",
        "sekolah|universitas|perpustakaan|pulsa|tagihan|pembayaran|akun|kuota|kata sandi",
        "مدرسة|جامعة|مكتبة|رصيد|فاتورة|دفع|صيانة|مدرسه|دانشگاه|شارژ|كلمة المرور",
        "mật khẩu|tài khoản|thanh toán|nhà trường|thư viện|bảo trì",
    )
    for word in line.split("|")
)
UNSPACED_VISITOR_WORDS = (  # in scripts without spaces, anywhere
    *("学校", "學校", "图书馆", "圖書館", "余额", "餘額", "充值", "账户", "帳號", "密码", "维护"),
    *("학교", "도서관", "계정", "비밀번호", "요금", "점검", "โรงเรียน", "บัญชี", "ชำระ", "รหัสผ่าน"),
    *("विद्यालय", "बकाया", "স্কুল", "রিচার্জ"),
)


def _prepare_beginnings(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(f" {extract_words(normalize_markup(word))}" for word in words)


_BEGINNINGS = _prepare_beginnings(VISITOR_WORDS)


def speaks_to_visitor(page: PageText) -> bool:
    """Return whether the page asks something of its visitor, or is of an office.

    No line of common words knows such a page.
    """
    words = f" {page.visible_words}"
    return any(phrase in words for phrase in (*_BEGINNINGS, *UNSPACED_VISITOR_WORDS))


def names_authority(page: PageText, notices: Iterable[Fingerprint]) -> bool:
    """Return whether a short page names an authority and asks its visitor for nothing.

    Args:
        notices: Lines of common words; the last condition of each names the authority or law.
    """
    return not speaks_to_visitor(page) and any(
        page.word_count <= notice.max_words
        and not notice.has_exception(page)
        and notice.conditions[-1].holds_for(page)
        for notice in notices
    )
